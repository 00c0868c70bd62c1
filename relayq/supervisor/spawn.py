"""Starts a job's process and says precisely why one could not be started.

By posix_spawn, which borrows the parent's memory until the exec instead of copying it: from Python, a
fork with code of our own in the child costs three times as much as the whole of a short job. What such
code would do, the supervisor's keeper does (see keeper.py).
"""

import errno
import os
import signal
import stat
import sys
from collections.abc import Callable

_MACHINES_FAULT = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EIO, errno.EDQUOT}

# Python ignores the first two; the supervisor the third. A job must not inherit that.
_BACK_TO_DEFAULT = [
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD,
]  # fmt: skip
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


class NotStarted(Exception):
    """The text is a sentence; `fault` says whose it is: the "job"'s or the "machine"'s, or that it came too "late"."""

    def __init__(self, sentence: str, fault: str) -> None:
        super().__init__(sentence)
        self.fault = fault


class Child:
    """A started process and the ends of its pipes that are ours (non-blocking)."""

    __slots__ = ("err", "out", "pid")

    def __init__(self, pid: int, out: int, err: int) -> None:
        self.pid = pid
        self.out = out
        self.err = err


def start(argv: list[str], env: dict[str, str], cwd: str | None, stdin: bytes | None, null: int) -> Child:
    """Starts a process as leader of its own session and group. `null` is an open /dev/null.

    Raises NotStarted. Changes the working folder for the moment of the start, so that the kernel's own
    words about it reach us.
    """
    fds: list[int] = []
    try:
        program = _enter_and_find(argv, env, cwd)
        source = null
        if stdin:
            source = _file_with(stdin)
            fds.append(source)
        out, out_end = _pipe()
        fds += (out, out_end)
        err, err_end = _pipe()
        fds += (err, err_end)
        pid = _spawn(program, argv, env, source, out_end, err_end)
    except OSError as error:
        _close(fds)
        raise _machines(error) from error
    except ValueError as error:  # a NUL character, a variable's name with "=", text that is no text
        _close(fds)
        raise NotStarted(f"the command, its folder or its environment is not valid: {error}", "job") from error
    except BaseException:
        _close(fds)
        raise
    finally:
        os.chdir("/")  # staying in a job's folder would keep its disk from being unmounted
    _close([fd for fd in fds if fd not in (out, err)])
    return Child(pid, out, err)


def _enter_and_find(argv: list[str], env: dict[str, str], cwd: str | None) -> str:
    if not argv or not argv[0]:
        raise NotStarted("the command is empty", "job")
    home = env.get("HOME") or "/"
    try:
        os.chdir(home if cwd is None else os.path.join(home, cwd))
    except OSError as error:
        if cwd is not None:
            raise _bad_folder(os.path.join(home, cwd), error) from error
        os.chdir("/")  # a service's user may have a home that does not exist
    program = argv[0]
    if "/" in program:
        return program
    denied = False
    for folder in (env.get("PATH") or _DEFAULT_PATH).split(":"):
        path = os.path.join(folder or ".", program)
        try:
            found = os.stat(path)
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            if os.access(path, os.X_OK):
                return path
            denied = True
    if denied:
        raise NotStarted(f"permission denied: {program} is on the PATH, but is not executable", "job")
    raise NotStarted(f"no such program: {program}", "job")


def _spawn(program: str, argv: list[str], env: dict[str, str], source: int, out: int, err: int) -> int:
    actions = ((os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2))
    spawn: Callable[..., int] = os.posix_spawn
    try:
        # Every other descriptor of ours closes by itself at the exec (PEP 446, serve.main).
        return spawn(program, argv, env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_BACK_TO_DEFAULT)
    except NotImplementedError:  # an older macOS: its own group must do
        try:
            return spawn(
                program, argv, env, file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=_BACK_TO_DEFAULT
            )
        except OSError as error:
            raise _not_run(program, error) from error
    except OSError as error:
        raise _not_run(program, error) from error


def _not_run(program: str, error: OSError) -> NotStarted:
    code = error.errno
    if code in _MACHINES_FAULT:
        return _machines(error)
    if code == errno.ENOENT and os.path.exists(program):
        return NotStarted(f"no such interpreter: the one that the first line of {program} names", "job")
    if code in (errno.ENOENT, errno.ENOTDIR):
        return NotStarted(f"no such program: {program}", "job")
    if code == errno.EACCES:
        what = "it is a folder" if os.path.isdir(program) else "it is not executable for this user"
        return NotStarted(f"permission denied: {program}: {what}", "job")
    if code == errno.ENOEXEC:
        return NotStarted(f"not a program this machine can run: {program} (a script needs a first line #!)", "job")
    if code == errno.E2BIG:
        return NotStarted("the command line and the environment are too long for this machine", "job")
    return NotStarted(f"cannot run {program}: {os.strerror(code or 0)}", "job")


def _bad_folder(folder: str, error: OSError) -> NotStarted:
    if error.errno == errno.ENOENT:
        return NotStarted(f"no such folder: {folder}", "job")
    if error.errno == errno.ENOTDIR:
        return NotStarted(f"not a folder: {folder}", "job")
    if error.errno == errno.EACCES:
        return NotStarted(f"permission denied: {folder}", "job")
    fault = "machine" if error.errno in _MACHINES_FAULT else "job"
    return NotStarted(f"cannot enter the folder {folder}: {os.strerror(error.errno or 0)}", fault)


def _machines(error: OSError) -> NotStarted:
    return NotStarted(f"this machine cannot start a process now: {os.strerror(error.errno or 0)}", "machine")


def _pipe() -> tuple[int, int]:
    if sys.platform == "linux":
        ours, theirs = os.pipe2(os.O_CLOEXEC)
    else:
        ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    return ours, theirs


def _file_with(data: bytes) -> int:
    if sys.platform == "linux":
        fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    else:
        import tempfile  # heavy

        fd, path = tempfile.mkstemp(prefix="relayq-stdin-")
        os.unlink(path)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
