"""`relayq workers`: which machines there are, and what they offer."""

from __future__ import annotations

from typing import Any

import click

from relayq.cli.context import App, pass_app
from relayq.cli.options import json_option
from relayq.requirements import missing, trouble

GIB = 1 << 30


@click.command("workers")
@click.option("--needs", multiple=True, metavar="WORD,…", help="Only those that have all of these.")
@json_option
@pass_app
def command(app: App, needs: tuple[str, ...], as_json: bool) -> int:
    """List the workers and what they offer: labels and capabilities, and what is there but does not work.

    Each worker tries what its machine can do when it starts, every hour, and on `relayq worker reprobe`.
    Exits with 1 if --needs is given and no worker has it. --json prints {name: Worker}.
    """
    from relayq.cli.exits import NEGATIVE
    from relayq.cli.records import worker_records
    from relayq.cli.screen import message, say_json
    from relayq.cli.snapshot import Snapshot

    wanted = sorted({word.strip() for text in needs for word in text.split(",") if word.strip()})
    for word in wanted:
        if (wrong := trouble(word)) is not None:
            raise click.UsageError(f"--needs: {word!r} {wrong}")
    seen = Snapshot(app.store)
    every = worker_records(seen.status())
    able = {state.info.name for state in seen.states if missing(state.info, wanted) is None}
    workers = {name: w for name, w in every.items() if name in able}
    if as_json:
        say_json(workers)
    elif workers or not every:
        say_workers(workers, capabilities=True)
        say_machines(workers)
    if every and not workers:
        message(f"no worker has {' and '.join(wanted)}. See: relayq workers")
    return NEGATIVE if wanted and not workers else 0


def say_workers(workers: dict[str, dict[str, Any]], *, capabilities: bool = False) -> None:
    """The table of workers, by name."""
    from relayq.cli.screen import message, say, say_table

    if not workers:
        message("no worker has joined yet. Start one with: relayq worker")
        return
    rows = [("WORKER", "STATE", "SLOTS", "RUNNING", "WAITING", "OFFERS" if capabilities else "LABELS")]
    for name, w in workers.items():
        offers = " ".join([*w["labels"], *(w["capabilities"] if capabilities else ())])
        numbers = (str(w["slots"]), str(w["active_jobs"]), str(w["queued_jobs"]))
        rows.append((name, w["state"], *numbers, offers))
    say_table(rows, "STATE", names=(0,), wrap=True)
    resting = [f"{name} {w['why']}" for name, w in workers.items() if w["why"]]
    if resting:
        say("")
    for sentence in resting:
        say(sentence)


def say_machines(workers: dict[str, dict[str, Any]]) -> None:
    """What each machine is, and what was found there but does not work."""
    from relayq.cli.screen import say, say_table

    machines = [(name, machine_sentence(w["facts"], w["found"])) for name, w in workers.items() if w["facts"]]
    broken = [(name, each["name"], each["why_not"] or "") for name, w in workers.items() for each in w["found"]
              if not each["works"]]  # fmt: skip
    if machines:
        say("")
        say_table([("WORKER", "MACHINE"), *machines], names=(0,), wrap=True)
    if broken:
        say("")
        say_table([("WORKER", "DOES NOT WORK", "WHY"), *broken], struck="DOES NOT WORK", names=(0,), wrap=True)


def machine_sentence(facts: dict[str, Any], found: list[dict[str, Any]]) -> str:
    """A machine in one line: what it is, how big, and the versions of what works there."""
    told = [facts.get("model"), " ".join(str(facts[key]) for key in ("os", "arch") if key in facts)]
    if "cores" in facts:
        told.append(f"{facts['cores']} cores")
    if "memory" in facts:
        told.append(f"{facts['memory'] / GIB:.3g}G memory")
    if "disk" in facts:
        told.append(f"{facts['disk_free'] / GIB:.0f}G of {facts['disk'] / GIB:.0f}G disk free")
    told += [f"{each['name']} {each['version']}" for each in found if each["works"] and each["version"]]
    return ", ".join(part for part in told if part)
