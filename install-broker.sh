#!/bin/sh
# Makes this machine (Debian or Ubuntu) relayq's broker: Redis of relayq's own, and the server that lets machines join.
# Made by scripts/installers from the parts in installers/: change those.
set -eu

REPOSITORY=https://github.com/relayq/relayq/archive/refs/heads/main.tar.gz
VERSION=2.0.0.dev0

usage() {
    cat <<'END'
Make this machine (Debian or Ubuntu) relayq's broker:

  curl -fsSL https://raw.githubusercontent.com/relayq/relayq/main/install-broker.sh | bash
  curl -fsSL …/install-broker.sh | bash -s -- --dry-run

It finds or installs Python, puts relayq into /opt/relayq and runs `relayq setup broker` there, which does the rest.
Run again, it mends what is broken and changes nothing else.

  --dry-run            Only show what would be done. Needs no root.
  --yes                Retire a relayq 1.x found here too, with copies kept.
  --port PORT          Redis' port (6379).
  --server-port PORT   The server's port (7117).
  --user NAME          Whose ~/.relayq/config.yml gets the access (you).
  --maxmemory SIZE     How much memory Redis may use (a quarter of the machine's).
  --rotate-password    Make new passwords for the administrator and for those who submit.
  --uninstall          Remove what was installed; jobs and settings stay.
  --purge              With --uninstall: those too, and the packages that were installed.
  --version, --help

RELAYQ_SPEC names another package (a wheel, a checkout, a URL), RELAYQ_PYTHON a Python, RELAYQ_PREFIX another folder
than /opt/relayq. Each option has a variable too: RELAYQ_DRY_RUN=1, RELAYQ_YES=1 …
END
}

say() { printf 'relayq: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
problem() { PROBLEMS="$PROBLEMS
  * $*"; }

# Every command that changes something is shown before it runs; in a dry run, instead of it.
run() {
    printf '  %s%s\n' "${DRY_RUN:+would run: }" "$*" >&2
    [ -n "$DRY_RUN" ] || "$@" </dev/null >&3
}
as_root() {
    if [ "$(id -u)" = 0 ]; then run "$@"
    elif has sudo; then run sudo "$@"
    elif has doas; then run doas "$@"
    elif [ -n "$DRY_RUN" ]; then run "$@"
    else die "this needs root, and there is neither sudo nor doas: $*"
    fi
}

find_python() { # a Python that can make virtual environments; for the system's service none from somebody's home
    for name in ${RELAYQ_PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
        for file in "$name" "/opt/homebrew/bin/$name" "/usr/local/bin/$name" "/usr/bin/$name"; do
            # Apple's own is too old, and a stand-in for it opens a window.
            [ "$OS $(command -v "$file" || true)" != "Darwin /usr/bin/python3" ] || continue
            "$file" -c 'import ensurepip, os, sys, venv
base = os.path.realpath(sys.base_prefix) + "/"
sys.exit(sys.version_info < (3, 11) or sys.argv[1] == "system" and base.startswith(("/home/", "/root/")))
' "$SCOPE" </dev/null >/dev/null 2>&1 || continue
            PYTHON=$(command -v "$file")
            return
        done
    done
    return 1
}
install_python() {
    say "Python 3.11 or newer with venv is missing here"
    if has apt-get; then
        apt_install python3 python3-venv
        find_python || [ -n "$DRY_RUN" ] || apt_install python3.11 python3.11-venv # Ubuntu 22.04
    elif has brew; then run brew install python@3.13
    elif [ -x /opt/homebrew/bin/brew ]; then run /opt/homebrew/bin/brew install python@3.13
    elif has uv && [ "$SCOPE" = user ]; then
        run uv python install 3.13
        [ -n "$DRY_RUN" ] || RELAYQ_PYTHON=$(uv python find 3.13)
    fi
    find_python && return
    [ -z "$DRY_RUN" ] || { say "the rest can be shown once Python is there"; exit 0; }
    die "install Python 3.11 or newer (dnf install python3.12, apk add python3, or python.org) and run this again"
}
apt_install() {
    before=$(dpkg-query -W -f '${Package}\n')
    as_root apt-get -o DPkg::Lock::Timeout=120 -qq update || say "apt-get update failed; going on with what is known"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -qq -y \
        --no-install-recommends install "$@" 3>/dev/null # each package has six lines to say; errors are told all the same
    [ -n "$DRY_RUN" ] || MADE=$MADE$(dpkg-query -W -f '${Package}\n' | grep -vxF "$before" | sed 's/^/package /')$NEWLINE
}

in_prefix() { if [ "$SCOPE" = system ]; then as_root "$@"; else run "$@"; fi; }

build_wheel() { # SPEC: a wheel, a folder, an archive or a URL
    python=$PREFIX/current/bin/python
    "$python" -m pip --version </dev/null >/dev/null 2>&1 || { "$PYTHON" -m venv "$TEMP/build"; python=$TEMP/build/bin/python; }
    "$python" -m pip wheel -q --disable-pip-version-check --no-deps -w "$TEMP/wheel" "$1" </dev/null >&2 ||
        die "the package could not be had from $1; see above, or name another with RELAYQ_SPEC"
}
install_wheel() { # sets VENV: the present one if it was made of this very wheel
    set -- "$TEMP"/wheel/*.whl
    VENV=$PREFIX/current
    if cmp -s "$1" "$VENV/wheel/${1##*/}" && "$VENV/bin/relayq" --version </dev/null >/dev/null 2>&1; then
        say "${1##*/} is installed already"
        return
    fi
    # A dry run shows the rest from a copy that is gone afterwards.
    if [ -n "$DRY_RUN" ]; then
        say "would install ${1##*/} into a new folder in $PREFIX/venvs, and then:"
        VENV=$TEMP/venv
        "$PYTHON" -m venv "$VENV" && "$VENV/bin/python" -m pip install -q --disable-pip-version-check "$1$EXTRAS" >&2
        return
    fi
    folder=$PREFIX/venvs
    while [ ! -d "$folder" ]; do
        MADE="${MADE}folder $folder$NEWLINE" folder=$(dirname "$folder")
    done
    VENV=$PREFIX/venvs/$(date -u +%Y%m%d-%H%M%S)
    in_prefix mkdir -p "$PREFIX/venvs"
    in_prefix "$PYTHON" -m venv "$VENV"
    printf %s "$MADE" >"$TEMP/made" # what was not there before, for uninstalling
    in_prefix cp "$TEMP/made" "$VENV/made"
    in_prefix "$VENV/bin/python" -m pip install -q --disable-pip-version-check --no-input "$1$EXTRAS"
    in_prefix mkdir "$VENV/wheel"
    in_prefix cp "$1" "$VENV/wheel/" # last: it says that all is there
}

start() {
    exec 3>&2 # what commands have to say
    umask 022 # others must be able to read the program; what is secret says so itself
    NEWLINE='
'
    case $DRY_RUN in 0 | false | no) DRY_RUN='' ;; esac
    export RELAYQ_DRY_RUN="$DRY_RUN"
    MADE='' PROBLEMS='' OS=$(uname -s) TEMP=$(mktemp -d)
    trap 'rm -rf "$TEMP"' EXIT
    trap 'exit 130' INT TERM
}
check_disk() { # PATH
    folder=$1
    while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
    free=$(df -Pk "$folder" | awk 'NR == 2 {print $4}')
    [ "${free:-999999}" -ge 300000 ] || problem "$folder has $((free / 1024)) MB free; relayq needs 300"
}
end_if_problems() { [ -z "$PROBLEMS" ] || die "this machine is not ready:$PROBLEMS"; }
hand_over() { # COMMAND...: Python does the rest
    case $1 in "$TEMP"/*) "$@"; exit ;; esac
    rm -rf "$TEMP"
    trap - EXIT INT TERM
    exec "$@" 3>&-
}

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
