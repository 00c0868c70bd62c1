"""How a supervisor process comes up: detached, alone for its home and version, under its keeper."""

# Only light modules here: what is loaded before the fork, the keeper carries along for life.
import os
import signal
import sys

from relayq.supervisor import keeper, lock, paths, system

ALREADY_RUNNING = 3  #: exit code
LINGER = 30.0  #: seconds an empty supervisor waits for a client before it leaves

_LOCK_PATIENCE = 7.0  # seconds: longer than a dead supervisor's keeper takes to end its jobs
_LOG_BYTES = 1 << 20


def from_environment() -> int:
    """`main`, with what `launch` put into the environment."""
    given = {name: os.environ.pop(f"RELAYQ_SUPERVISOR_{name}", "") for name in ("HOME", "VERSION", "LOG", "LINGER")}
    os.environ.pop("RELAYQ_SUPERVISOR_ROOT", None)
    return main(given["HOME"], given["VERSION"], log_path=given["LOG"], linger=float(given["LINGER"] or LINGER))


def main(home: str, version: str, *, linger: float = LINGER, log_path: str = "") -> int:
    """Becomes the supervisor of this home and version. The calling process returns at once, its child stays."""
    _reset_signals()
    home = os.path.abspath(home)
    places = paths.Paths(home, version)
    os.chdir("/")
    paths.make_private(places.root)
    paths.make_private(places.folder)
    _redirect(log_path or places.log)
    if lock.acquire(places.lock, _LOCK_PATIENCE) is None:
        os.write(2, f"another supervisor of relayq {version} holds {places.lock}\n".encode())
        return ALREADY_RUNNING
    if os.fork():
        return 0
    os.setsid()
    try:
        watch = keeper.become_child_of_keeper()
        if watch is not None:
            system.adopt_orphans()
        from relayq.supervisor.run import supervise

        supervise(home, version, linger, watch)
    except BaseException:  # noqa: BLE001 - said in the log; nothing of the caller may run in this process
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _reset_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):  # the C library keeps some for itself
            continue
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


def _redirect(log_path: str) -> None:
    """Standard streams to nowhere and to the log, nothing else open: a job must inherit nothing of the caller's."""
    null = os.open(os.devnull, os.O_RDWR)
    try:
        if os.path.exists(log_path) and os.stat(log_path).st_size > _LOG_BYTES:
            os.rename(log_path, log_path + ".1")
        file = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        file = null
    for fd, source in ((0, null), (1, null), (2, file)):
        os.dup2(source, fd)
    os.closerange(3, 1024)
