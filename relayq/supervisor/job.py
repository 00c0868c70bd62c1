"""One running attempt: its process and family from the start to the end, with its timers.

It ends when its main process ends; what remains of the family is then ended too, and only then is the
outcome said. `plan` tells the loop when to call `tick` again.
"""

import os
import selectors
import signal
from collections.abc import Callable
from typing import Any

from relayq.supervisor import family, outcome, system
from relayq.supervisor.clock import awake, elapsed
from relayq.supervisor.delivery import COALESCE, Delivery
from relayq.supervisor.output import Kept
from relayq.supervisor.pipes import NEVER, Pipes
from relayq.supervisor.spawn import Child

# Most jobs are over before this; the loop is not bothered with their pipes, one read at the end gets all.
_WATCH_AFTER = 0.004
_SWEEP_GRACE = 0.75  # seconds that the remains of an ended job get between TERM and KILL
_LOOK_AGAIN = 0.02
_PATIENCE = 5.0  # seconds after KILL; what does not die then is stuck in the kernel
_HOLDER_PATIENCE = 0.5  # seconds for a pipe held open by somebody who is no family
_DEADLINE_CHECK = 0.5  # the loop's own timers stand still while the machine sleeps

_ASKED, _DEADLINE = "asked", "deadline"


class Job:
    """A started attempt. `ended` is called once, with its outcome."""

    def __init__(
        self,
        key: str,
        child: Child,
        order: dict[str, Any],
        now: float,
        wall: float,
        *,
        selector: selectors.BaseSelector,
        relatives: Callable[["Job"], list[int]],
        ended: Callable[["Job", outcome.Outcome], None],
    ) -> None:
        self.key = key
        self.pid = child.pid
        self.started_at = wall
        self.wake_at = now + _WATCH_AFTER
        self.main_lives = True
        self.reason: str | None = None  #: set by the first stop
        self.kept = Kept(order["max"])
        self.delivery = Delivery(key, self.kept, None, [0, 0, 0])
        self._pipes = Pipes(child.out, child.err, self.kept, selector, self._has_data)
        self._relatives = relatives
        self._ended = ended
        self.started = now  #: by the clock that stands still during sleep
        self._watch_at = self.wake_at
        self._flush_at = NEVER
        self._timeout: float | None = order.get("timeout")
        self._grace: float = order["grace"]
        self._may_freeze: bool = order.get("freeze", True)
        self._deadline: float | None = None  # by the clock that counts sleep
        self._frozen_by: set[str] = set()
        self._frozen_since = 0.0
        self._frozen_seconds = 0.0
        self._group: int | None = child.pid  # None when it is known to be empty
        self._outside: dict[int, str | None] = {}
        self._kill_at = NEVER
        self._give_up_at = NEVER
        self._status = 0
        self._end: tuple[float, float] | None = None  # (awake clock, wall) of the main process' end
        self._holder_until = NEVER
        self.renew(order.get("deadline"), now)

    # What the worker asks for.

    def renew(self, at: float | None, now: float) -> None:
        """Moves the deadline to an instant (of the clock that counts sleep) or to never; a job that waited goes on."""
        self._deadline = at
        if not self.deadline_passed():
            self._thaw(_DEADLINE, now)
        self.plan(now)

    def deadline_passed(self) -> bool:
        """Whether another machine may have been given this job since."""
        return self._deadline is not None and elapsed() >= self._deadline

    def _is_anothers(self) -> bool:
        return self._may_freeze and self.deadline_passed()

    def _deadline_at(self, now: float) -> float:
        if not self._may_freeze or self._deadline is None or self._give_up_at != NEVER:
            return NEVER
        return now + min(_DEADLINE_CHECK, max(0.0, self._deadline - elapsed()))

    def freeze(self, now: float) -> None:
        """Stops the family where it stands."""
        self._freeze(_ASKED, now)
        self.plan(now)

    def thaw(self, now: float) -> None:
        """Undoes `freeze`; a job whose deadline has passed waits on."""
        self._thaw(_ASKED, now)
        self.plan(now)

    def stop(self, reason: str, grace: float | None, now: float) -> None:
        """TERM to the family now, KILL after the grace (0: at once). A second stop can only shorten the grace."""
        kill_at = now + (self._grace if grace is None else max(0.0, grace))
        if not self.main_lives:
            return
        if self.reason is None:
            self.reason = reason
            self._kill_at = kill_at
            if kill_at <= now or self._is_anothers():
                self._kill(now)  # also what is frozen, which does not go on for it
            else:
                # A frozen process finds TERM waiting when it goes on.
                self._signal(signal.SIGTERM, signal.SIGCONT)
            self._unfreeze(now)
        elif self._give_up_at == NEVER:
            self._kill_at = min(self._kill_at, kill_at)
        self.plan(now)

    # What the loop tells.

    def main_ended(self, status: int, now: float, wall: float) -> None:
        """The main process was reaped."""
        self._unfreeze(now)
        self.main_lives = False
        self._status = status
        self._end = (now, wall)
        self._pipes.drain()
        if not self._family_remains():
            if not self._pipes.open:
                self._finish(now)
                return
        elif self.reason is None:
            self._kill_at = now + _SWEEP_GRACE
            self._signal(signal.SIGTERM, signal.SIGCONT)
        self._sweep(now)
        self.plan(now)

    def tick(self, now: float) -> None:
        """Does what is due."""
        if now >= self._watch_at or now >= self._pipes.resume_at:
            self._watch_at = NEVER
            self._pipes.watch()
        if now >= self._flush_at:
            self._flush_at = now + COALESCE if self.delivery.live(now) else NEVER
        if not self.main_lives:
            self._sweep(now)
        elif self.reason is not None:
            if self._is_anothers():
                self._kill_at = min(self._kill_at, now)  # its grace ends where its time does
            self._press(now)
        elif not self._frozen_by and self._timeout is not None and now >= self._timeout_at(self._timeout):
            self.stop("timed_out", None, now)
        elif self._is_anothers():
            self._freeze(_DEADLINE, now)
        self.plan(now)

    def plan(self, now: float) -> None:
        """Sets `wake_at`."""
        wake_at = min(self._watch_at, self._flush_at, self._pipes.resume_at)
        if not self.main_lives:
            wake_at = min(wake_at, now + _LOOK_AGAIN)
        elif self.reason is not None:
            wake_at = min(wake_at, self._kill_at, self._deadline_at(now))
        elif not self._frozen_by:
            if self._timeout is not None:
                wake_at = min(wake_at, self._timeout_at(self._timeout))
            wake_at = min(wake_at, self._deadline_at(now))
        self.wake_at = wake_at

    def deliver(self, now: float) -> None:
        """The session has room again, or is new."""
        self._flush_at = now
        self.plan(now)

    def state(self) -> dict[str, Any]:
        """For the list."""
        return {
            "key": self.key,
            "pid": self.pid,
            "state": "frozen" if self._frozen_by else "running",
            "started_at": self.started_at,
            "out": self.kept.totals[1],
            "err": self.kept.totals[2],
            "reason": None,
        }

    # Within.

    def _has_data(self) -> None:
        if self._flush_at == NEVER and self.delivery.session is not None:
            self._flush_at = awake() + COALESCE
            self.wake_at = min(self.wake_at, self._flush_at)
        self.wake_at = min(self.wake_at, self._pipes.resume_at)

    def _timeout_at(self, timeout: float) -> float:
        return self.started + timeout + self._frozen_seconds

    def _freeze(self, cause: str, now: float) -> None:
        if not self.main_lives or self.reason is not None:
            return
        if not self._frozen_by:
            self._frozen_since = now
            self._signal(signal.SIGSTOP)
        self._frozen_by.add(cause)

    def _thaw(self, cause: str, now: float) -> None:
        if cause in self._frozen_by:
            self._frozen_by.discard(cause)
            if not self._frozen_by:
                self._frozen_seconds += now - self._frozen_since
                self._signal(signal.SIGCONT)

    def _unfreeze(self, now: float) -> None:
        if self._frozen_by:
            self._frozen_by.clear()
            self._frozen_seconds += now - self._frozen_since

    def _press(self, now: float) -> None:
        if now >= self._give_up_at:
            self._finish(now)
        elif now >= self._kill_at:
            self._kill(now)

    def _kill(self, now: float) -> None:
        if self._give_up_at == NEVER:
            self._give_up_at = now + _PATIENCE
        self._kill_at = now + 0.1  # again: somebody may have been born meanwhile
        self._signal(signal.SIGKILL)

    def _sweep(self, now: float) -> None:
        assert self._end is not None
        if self._family_remains():
            if now < self._give_up_at:
                if now >= self._kill_at:
                    self._kill(now)
                return
        elif self._pipes.open:
            # A process that is no family any more, or was never ours, holds the pipe: take what comes.
            self._pipes.drain()
            if self._holder_until == NEVER:
                self._holder_until = now + _HOLDER_PATIENCE
            if self._pipes.open and now < self._holder_until:
                return
        self._finish(now)

    def _family_remains(self) -> bool:
        if self._group is not None and not family.group_lives(self._group):
            self._group = None  # from now on the number may be another group's
        return self._group is not None or bool(self._roots())

    def _roots(self) -> list[int]:
        roots = self._relatives(self)
        if self.main_lives:
            roots.append(self.pid)
        for pid, start in self._outside.items():
            if start is not None and system.start_time(pid) == start:
                roots.append(pid)
        return roots

    def _signal(self, *numbers: int) -> None:
        self._outside.update(family.signal_family(self._group, self._roots(), *numbers))

    def _finish(self, now: float) -> None:
        self._pipes.drain()
        self._pipes.close()
        ended, ended_wall = self._end or (now, self.started_at + now - self.started)
        code = os.waitstatus_to_exitcode(self._status) if self._end is not None else None
        header = outcome.exit_header(
            self.key,
            self.reason or "exited",
            self.kept,
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            error=None if self._end is not None else f"process {self.pid} is stuck in the kernel and does not die",
            started_at=self.started_at,
            ended_at=ended_wall,
            duration=max(0.0, ended - self.started - self._frozen_seconds),
        )
        self._ended(self, outcome.Outcome(header, self.kept, now, self.pid))
