"""Where no service manager does it: starts the worker again when it dies. Standard library only; it stays for life.

What it is told (TERM, INT, HUP, QUIT) it passes on, and the worker's end after that is its own. A worker that ends by
itself, in peace or refused, is not started again: only one that was killed or crashed.
"""

import json
import os
import signal
import subprocess
import sys
import time

COMMAND = "RELAYQ_MINDED"  #: the worker's command line, as JSON: in ours it would be taken for a worker
PATIENCE = 60.0  #: seconds of life after which a death is not one of a series
_DELAY = 0.5  #: seconds before the first new start; doubles with each death in a series
_DELAY_LIMIT = 60.0
_PEACEFUL = frozenset({0, 2, 4, 5})  #: ended; wrong usage; the broker does not answer; refused
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
# As the supervisor: nothing that names the place, or the worker, stands in the command line.
_BOOT = (
    "import os,sys;sys.path.append(os.environ.pop('RELAYQ_MINDER_ROOT'));"
    "from relayq import minder;sys.exit(minder.from_environment())"
)


def needed(environment: dict[str, str]) -> bool:
    """Whether nobody else would start a dead worker again, as systemd and launchd do for what they started themselves.

    A terminal that they started hands their variables on: what counts is who started this very process.
    """
    if "INVOCATION_ID" in environment:
        return environment.get("SYSTEMD_EXEC_PID", str(os.getpid())) != str(os.getpid())  # since systemd 248
    return environment.get("XPC_SERVICE_NAME", "0") == "0" or os.getppid() != 1


def command(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """How to start a worker under a minder: command line, and what to add to the environment."""
    from pathlib import Path  # not for life: the minder itself needs none

    root = str(Path(__file__).resolve().parent.parent)
    program = getattr(sys, "_base_executable", None) or sys.executable
    added = {COMMAND: json.dumps(argv), "RELAYQ_MINDER_ROOT": root}
    return [program, "-I", "-S", "-X", "utf8", "-c", _BOOT], added


def from_environment() -> int:
    """`mind`, with the command line that `command` put into the environment."""
    return mind(json.loads(os.environ.pop(COMMAND)))


def mind(argv: list[str]) -> int:
    """Keep a worker running; its exit code when it has ended for good (128 + N if signal N ended it)."""
    told: list[int] = []
    child: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _frame: object) -> None:
        told.append(number)
        if child and child[0].returncode is None:
            child[0].send_signal(number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    delay = _DELAY
    while True:
        started_at = time.monotonic()
        # A group of its own: Ctrl-C reaches it through us, once.
        child[:] = [subprocess.Popen(argv, process_group=0)]
        for early in told:  # while there was nobody to tell
            child[0].send_signal(early)
        code = _wait(child[0])
        if told or code in _PEACEFUL:
            return code if code >= 0 else 128 - code
        if time.monotonic() - started_at > PATIENCE:
            delay = _DELAY
        how = f"was killed by signal {-code}" if code < 0 else f"crashed (exit code {code})"
        sys.stderr.write(f"relayq: the worker {how}; starting it again in {delay:g} s. Its jobs go on\n")
        sys.stderr.flush()
        _sleep(delay, told)
        if told:
            return 0
        delay = min(delay * 2, _DELAY_LIMIT)


def _wait(child: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return child.wait()
        except InterruptedError:
            continue


def _sleep(seconds: float, told: list[int]) -> None:
    until = time.monotonic() + seconds
    while not told and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
