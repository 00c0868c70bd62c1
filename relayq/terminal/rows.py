"""What the live view writes into its tables: status data as cells. Titles and messages come from jobs: text only."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from relayq.columns import plain
from relayq.monitoring import JobRow, Machine, duration

Row = tuple[str, tuple[Text, ...]]  #: key and cells

MACHINES = ("MACHINE", "STATE", "SLOTS", "CPU", "MEM", "DISK", "LOAD", "HEAT", "OFFERS")
RUNNING = ("RUNNING", "ON", "FOR", "PROGRESS", "LEFT", "SAYS")
WAITING = ("WAITING", "FOR", "WHY")
LAST = ("LAST FINISHED", "HOW", "ON", "TOOK")

_STATES = (
    ("online", "green", "●"),
    ("busy", "cyan", "◆"),
    ("paused", "yellow", "‖"),
    ("drain", "yellow", "↓"),
    ("holding", "yellow", "≡"),
    ("quarantined", "red", "!"),
    ("lost", "red", "?"),
)
_ENDS = {"succeeded": ("green", "✓"), "failed": ("red", "✗"), "cancelled": ("magenta", "∅")}
_BAR = 12  #: characters
_GIVING = {"OFFERS", "RUNNING", "WHY", "LAST FINISHED"}


def widths(heads: Sequence[str], content: Sequence[Row], room: int) -> list[int]:
    """How wide the columns are: as their cells, but the one that gives way takes what the others leave of `room`."""
    found = [max([len(head), *(cells[i].cell_len for _, cells in content)]) for i, head in enumerate(heads)]
    giving = heads.index(next(head for head in heads if head in _GIVING))
    if heads in (WAITING, MACHINES):
        i = 0 if heads is WAITING else 1
        found[i] = min(found[i], max(len(heads[i]), room // 3))
    rest = room - sum(width for i, width in enumerate(found) if i != giving) - 2 * len(heads)
    found[giving] = max(len(heads[giving]), rest)
    return found


def machine_rows(machines: Sequence[Machine]) -> list[Row]:
    """One row for each machine."""
    return [(machine.name, _machine(machine)) for machine in machines]


def running_rows(jobs: Sequence[JobRow], machines: Sequence[Machine], now: float) -> list[Row]:
    """What runs, and how far it is."""
    away = {machine.name: machine.state for machine in machines if not machine.online}
    return [(job.id, _running(job, away, now)) for job in jobs]


def waiting_rows(jobs: Sequence[JobRow], now: float) -> list[Row]:
    """What waits, and why."""
    return [
        (job.id, (_title(job), _text(duration(now - job.submitted_at)), _text(_reason(job), "yellow"))) for job in jobs
    ]


def last_rows(jobs: Sequence[JobRow]) -> list[Row]:
    """What has ended, and how."""
    return [(job.id, _ended(job)) for job in jobs]


def _machine(machine: Machine) -> tuple[Text, ...]:
    colour, sign = next(((c, s) for word, c, s in _STATES if machine.state.startswith(word)), ("white", "○"))
    offers = [*machine.labels, *(f"{it.name} {it.version or ''}".strip() for it in machine.capabilities if it.works)]
    state = f"{sign} {machine.why.removeprefix('is ') if machine.why and machine.online else machine.state}"
    return (
        _text(machine.name, "bold"),
        _text(state, colour),
        _text(f"{machine.running}/{machine.slots}"),
        _share(machine.cpu),
        _share(machine.memory),
        _share(machine.disk),
        _text("" if machine.load is None else f"{machine.load:.2f}"),
        _text(
            "" if machine.temperature is None else f"{machine.temperature:.0f} °C", "red" if machine.throttled else ""
        ),
        _text(" ".join(offers), "dim"),
    )


def _running(job: JobRow, away: dict[str, str], now: float) -> tuple[Text, ...]:
    said, colour = (f"{job.worker}: {away[job.worker]}", "red") if job.worker in away else (job.note or "", "")
    return (
        _title(job),
        _text(job.worker or ""),
        _text(duration(now - (job.started_at or job.submitted_at))),
        _bar(job.progress),
        _text("" if job.eta is None else duration(job.eta)),
        _text(said, colour),
    )


def _ended(job: JobRow) -> tuple[Text, ...]:
    colour, sign = _ENDS.get(job.state, ("white", "·"))
    how = job.state
    if job.state == "failed":
        code = f"exit {job.exit_code}" if job.exit_code is not None else f"signal {job.signal}" if job.signal else ""
        how = code if job.reason == "exited" and code else (job.reason or how).replace("_", " ")
    took = duration(job.ended_at - job.started_at) if job.ended_at and job.started_at else ""
    return _title(job), _text(f"{sign} {how}", colour), _text(job.worker or ""), _text(took)


def _reason(job: JobRow) -> str:
    said = job.explain or "waits"
    return said.removeprefix(f"{job.id} ")


def _title(job: JobRow) -> Text:
    return _text(job.title)


def _share(share: float | None) -> Text:
    if share is None:
        return Text("")
    return _text(f"{share:4.0%}", "red" if share > 0.9 else "yellow" if share > 0.75 else "")


def _bar(progress: float | None) -> Text:
    if progress is None:
        return Text("")
    full = round(progress * _BAR)
    return Text.assemble(("━" * full, "cyan"), ("━" * (_BAR - full), "dim"), f" {progress:4.0%}")


def _text(text: str, style: str = "") -> Text:
    return Text(plain(text), style, no_wrap=True, overflow="ellipsis")
