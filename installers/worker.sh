usage() {
    cat <<END
Make this machine a worker of relayq. On the broker, run: relayq token new   and paste here the line that it prints, or:

  curl -fsSL https://raw.githubusercontent.com/relayq/relayq/main/$SELF | bash
  curl -fsSL …/$SELF | bash -s -- --name nas --dry-run

It finds or installs Python, gets relayq from the broker, puts it into ~/.local/share/relayq and runs
\`relayq setup worker\` there, which does the rest. Run again, it mends what is broken and changes nothing else.

@OPTIONS:worker@

RELAYQ_SERVER names the broker's server (http://HOST:7117; else it is looked for in ~/.relayq/config.yml and in the
tailnet), RELAYQ_TOKEN the token, RELAYQ_SPEC another package than the broker's, RELAYQ_PYTHON a Python, RELAYQ_PREFIX
another folder. Each option has a variable too: RELAYQ_DRY_RUN=1, RELAYQ_WORKER_NAME=nas …
END
}

#@ include common.sh

get_from_broker() { # the wheel, into TEMP; SERVER is then where it came from
    # Not in $(…): the shell of macOS takes quotes in there for its own.
    "$PYTHON" - "$TEMP" "${RELAYQ_HOME:-$HOME/.relayq}/config.yml" "${RELAYQ_SERVER_PORT:-7117}" "$SERVER" \
        >"$TEMP/server" <<'END' && SERVER=$(cat "$TEMP/server") && return
#@ include find-broker.py
END
    # To mend what is here no broker is needed.
    set -- "$PREFIX"/current/wheel/*.whl
    [ -z "$SERVER${RELAYQ_TOKEN:-}" ] && [ -f "$1" ] || exit 1
    say "mending what is here, with ${1##*/}"
    mkdir "$TEMP/wheel"
    cp "$1" "$TEMP/wheel/"
}

main() {
    DRY_RUN=${RELAYQ_DRY_RUN:-} REMOVE=${RELAYQ_UNINSTALL:-} before=
    for option in "$@"; do
        case $before$option in
            -h | --help) usage; return ;;
            --version) echo "$VERSION"; return ;;
            --dry-run) DRY_RUN=1 ;;
            --uninstall) REMOVE=1 ;;
            --server=* | "--server "*) SERVER=${option#--server=} ;;
        esac
        [ "$option" = --server ] && before="--server " || before=
    done
    PREFIX=${RELAYQ_PREFIX:-$HOME/.local/share/relayq} SCOPE=user EXTRAS=
    start
    case $REMOVE in '' | 0 | false | no) ;; *)
        export RELAYQ_UNINSTALL=1
        [ -x "$PREFIX/current/bin/relayq" ] || die "there is no relayq in $PREFIX"
        hand_over "$PREFIX/current/bin/relayq" setup worker "$@"
        ;;
    esac
    [ -z "${SUDO_USER:-}" ] || [ "$(id -u)" != 0 ] || problem "run this without sudo, as the user whose worker it is to be"
    case $OS in
        Linux | Darwin) ;;
        *) problem "$OS is neither Linux nor macOS" ;;
    esac
    [ "$PROFILE" != rpi ] || has dpkg || problem "this is no Raspberry Pi OS or Debian (no dpkg): use install-worker.sh"
    check_disk "$PREFIX"
    end_if_problems
    # Of the programs, not of the kernel: a 32-bit Raspberry Pi OS has a 64-bit one.
    bits=$(getconf LONG_BIT 2>/dev/null || true)
    say "${DRY_RUN:+dry run; }making this machine ($OS, $(uname -m), ${bits:-?}-bit programs) a worker, in $PREFIX"
    find_python || install_python
    if [ -n "${RELAYQ_SPEC:-}" ]; then build_wheel "$RELAYQ_SPEC"; else get_from_broker; fi
    install_wheel
    [ -z "$SERVER" ] || export RELAYQ_SERVER="$SERVER"
    [ -z "$PROFILE" ] || export RELAYQ_PROFILE="${RELAYQ_PROFILE:-$PROFILE}"
    hand_over "$VENV/bin/relayq" setup worker "$@"
}

# One command, so that a download that broke off anywhere is none.
{ main "$@"; }
