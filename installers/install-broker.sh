#!/bin/sh
# Makes this machine (Debian or Ubuntu) relayq's broker: Redis of relayq's own, and the server that lets machines join.
#@ made
set -eu

REPOSITORY=https://github.com/relayq/relayq/archive/refs/heads/main.tar.gz
VERSION=@VERSION@

usage() {
    cat <<'END'
Make this machine (Debian or Ubuntu) relayq's broker:

  curl -fsSL https://raw.githubusercontent.com/relayq/relayq/main/install-broker.sh | bash
  curl -fsSL …/install-broker.sh | bash -s -- --dry-run

It finds or installs Python, puts relayq into /opt/relayq and runs `relayq setup broker` there, which does the rest.
Run again, it mends what is broken and changes nothing else.

@OPTIONS:broker@

RELAYQ_SPEC names another package (a wheel, a checkout, a URL), RELAYQ_PYTHON a Python, RELAYQ_PREFIX another folder
than /opt/relayq. Each option has a variable too: RELAYQ_DRY_RUN=1, RELAYQ_YES=1 …
END
}

#@ include common.sh

main() {
    DRY_RUN=${RELAYQ_DRY_RUN:-} REMOVE=${RELAYQ_UNINSTALL:-}
    for option in "$@"; do
        case $option in
            -h | --help) usage; return ;;
            --version) echo "$VERSION"; return ;;
            --dry-run) DRY_RUN=1 ;;
            --uninstall) REMOVE=1 ;;
        esac
    done
    PREFIX=${RELAYQ_PREFIX:-/opt/relayq} SCOPE=system EXTRAS='[server,top]'
    start
    case $REMOVE in '' | 0 | false | no) ;; *)
        export RELAYQ_UNINSTALL=1
        [ -x "$PREFIX/current/bin/relayq" ] || die "there is no relayq in $PREFIX"
        hand_over "$PREFIX/current/bin/relayq" setup broker "$@"
        ;;
    esac
    has apt-get || problem "this is no Debian or Ubuntu (no apt-get); a broker on any machine: relayq up"
    has systemctl || problem "there is no systemd, which is to keep the broker running"
    [ "$(id -u)" = 0 ] || has sudo || has doas || [ -n "$DRY_RUN" ] || problem "there is neither sudo nor doas: run this as root"
    check_disk "$PREFIX"
    end_if_problems
    say "${DRY_RUN:+dry run; }installing relayq's broker on this machine, in $PREFIX"
    find_python || install_python
    build_wheel "${RELAYQ_SPEC:-$REPOSITORY}"
    install_wheel
    hand_over "$VENV/bin/relayq" setup broker "$@"
}

# One command, so that a download that broke off anywhere is none.
{ main "$@"; }
