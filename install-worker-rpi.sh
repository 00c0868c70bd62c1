#!/bin/sh
# Makes this Raspberry Pi a worker of relayq.
# Made by scripts/installers from the parts in installers/: change those.
set -eu

SERVER=${RELAYQ_SERVER:-} # the broker's: http://HOST:7117
VERSION=2.0.0.dev0
SELF=install-worker-rpi.sh
PROFILE=rpi

usage() {
    cat <<END
Make this machine a worker of relayq. On the broker, run: relayq token new   and paste here the line that it prints, or:

  curl -fsSL https://raw.githubusercontent.com/relayq/relayq/main/$SELF | bash
  curl -fsSL …/$SELF | bash -s -- --name nas --dry-run

It finds or installs Python, gets relayq from the broker, puts it into ~/.local/share/relayq and runs
\`relayq setup worker\` there, which does the rest. Run again, it mends what is broken and changes nothing else.

  --dry-run            Only show what would be done.
  --name NAME          What the worker is called (the token's name, else this machine's).
  --labels LABEL,…     Words that jobs may ask for.
  --slots N            How many jobs it runs at once.
  --nice N             How much its jobs give way to other programs.
  --profile NAME       rpi, mac or none (found by itself).
  --server URL         The broker's server.
  --token-file FILE    Where the token stands (- for standard input), instead of RELAYQ_TOKEN.
  --system             Run as a service of the system, also without anybody logged in (needs sudo).
  --yes                Ask nothing (nothing is asked anyway).
  --uninstall          Remove what was installed; settings stay.
  --purge              With --uninstall: those too, and the packages that were installed.
  --version, --help

RELAYQ_SERVER names the broker's server (http://HOST:7117; else it is looked for in ~/.relayq/config.yml and in the
tailnet), RELAYQ_TOKEN the token, RELAYQ_SPEC another package than the broker's, RELAYQ_PYTHON a Python, RELAYQ_PREFIX
another folder. Each option has a variable too: RELAYQ_DRY_RUN=1, RELAYQ_WORKER_NAME=nas …
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

get_from_broker() { # the wheel, into TEMP; SERVER is then where it came from
    # Not in $(…): the shell of macOS takes quotes in there for its own.
    "$PYTHON" - "$TEMP" "${RELAYQ_HOME:-$HOME/.relayq}/config.yml" "${RELAYQ_SERVER_PORT:-7117}" "$SERVER" \
        >"$TEMP/server" <<'END' && SERVER=$(cat "$TEMP/server") && return
import concurrent.futures, hashlib, http.client, json, os, re, subprocess, sys, urllib.request

folder, config, port, given = sys.argv[1:]
# The tailnet is no business of a proxy.
fetch = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def candidates():
    if given:
        return [given.rstrip("/")]
    try:
        text = re.sub(r"(?m)^\s*#.*", "", open(config, encoding="utf-8").read())
    except OSError:
        text = ""
    found = re.findall(r"\burl:\s*['\"]?(https?://[^\s'\",}]+)", text)
    hosts = re.findall(r"\bhost:\s*['\"]?([^\s'\",}]+)", text)
    hosts += re.findall(r"\brediss?://(?:[^@/\s]*@)?(\[[^\]]+\]|[^:/\s'\"]+)", text)
    for program in ("tailscale", "/Applications/Tailscale.app/Contents/MacOS/Tailscale"):
        try:
            said = json.loads(subprocess.run([program, "status", "--json"], capture_output=True, timeout=10).stdout)
            peers = [said["Self"], *(peer for peer in (said["Peer"] or {}).values() if peer.get("Online"))]
            # Another person's machine that is shared with us is not asked for a program to run.
            hosts += [peer["TailscaleIPs"][0] for peer in peers if peer.get("TailscaleIPs") and not peer.get("ShareeNode")]
            break
        except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
            continue
    return [*found, *(f"http://{host}:{port}" for host in hosts)]


def version_at(url):
    try:
        with fetch(url + "/version", timeout=5) as answer:
            said = json.load(answer)
        return url, os.path.basename(said["wheel"]), said["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


urls = list(dict.fromkeys(candidates()))
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    answers = [answer for answer in pool.map(version_at, urls) if answer]
if not answers and given:
    sys.exit(f"relayq: {given} does not answer. Is Tailscale up on this machine, and on the broker?")
if not answers or len({sha for _, _, sha in answers}) > 1 and not given:
    seen = "more than one: " + ", ".join(url for url, _, _ in answers) if answers else "none"
    sys.exit(
        f"relayq: looked for a broker in {config} and on port {port} of this tailnet's machines, and found {seen}. "
        "On the broker, run:  relayq token new   and paste here what it prints: curl -fsSL http://BROKER:"
        f"{port}/join | RELAYQ_TOKEN=... sh"
    )
url, name, sha = answers[0]
try:
    with fetch(f"{url}/wheel/{name}", timeout=60) as answer:
        wheel = answer.read()
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"relayq: the package from {url} did not arrive ({error}). Run this again")
if hashlib.sha256(wheel).hexdigest() != sha:
    sys.exit(f"relayq: what {url} sent is damaged. Run this again")
os.makedirs(f"{folder}/wheel")
with open(f"{folder}/wheel/{name}", "wb") as file:
    file.write(wheel)
print(url)
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
