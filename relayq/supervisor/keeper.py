"""The supervisor's parent: sees it die, however it dies, and ends what it left behind.

Linux only. PR_SET_PDEATHSIG would end only the jobs' own processes, not the programs they started, and
needs code in every child (see spawn.py). Instead this process is a child subreaper: when the supervisor
dies, every process it ever started becomes a child of the keeper, which kills until it has none.
"""

import os
import signal
import time

from relayq.supervisor import system

_PATIENCE = 5.0  #: seconds; a process stuck in the kernel must not keep the next supervisor from starting


def become_child_of_keeper() -> int | None:
    """Forks. Returns in the child, with a descriptor that reads end-of-file when the keeper dies.

    The parent stays here as the keeper and never returns. Without subreapers there is none: gives None.
    """
    if not system.adopt_orphans():
        return None
    watch, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(held)
        return watch
    os.close(watch)
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        os.waitpid(pid, 0)
        _end_all_children()
    finally:
        os._exit(0)


def _end_all_children() -> None:
    give_up_at = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up_at:
        for pid in system.children(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)
