"""`relayq doctor`: what is wrong with this machine's part, and the commands that mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from relayq.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from relayq.doctor.findings import Finding

    Found = Mapping[str, list[Finding]]

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
PAGE = "TROUBLESHOOTING.md"


@click.command("doctor")
@click.option(
    "--quiet", is_flag=True, help="Print warnings and problems only, and nothing if there are none (for cron)."
)
@click.option("--fix", is_flag=True, help="Mend what can be mended safely, and look again.")
@json_option
def command(quiet: bool, fix: bool, as_json: bool) -> int:
    """Look for what is wrong with this machine, its way to the broker, the broker and its worker.

    Changes and restarts nothing without --fix, and takes 10 seconds at most. Each finding is explained in
    TROUBLESHOOTING.md under its name. Exits with 1 if there is a problem; a warning is none.

    --json prints {"problems", "warnings" (counts), "findings": [{"group", "check", "level" (ok, warning, problem),
    "sentence", "mend" (a command) or null, "fixable"}]}.
    """
    from relayq.cli.screen import say_json
    from relayq.doctor.context import context_for
    from relayq.doctor.examination import examine

    context = context_for()
    found = examine(context)
    if fix and _fix(found, context.settings.home):
        context = context_for()
        found = examine(context)
    problems, warnings = (_count(found, level) for level in ("problem", "warning"))
    if as_json:
        say_json({"problems": problems, "warnings": warnings, "findings": _records(found, quiet)})
    else:
        _show(found, quiet, here=context.runs_redis or not context.url)
    return 1 if problems else 0


def _fix(found: Found, home: Path) -> int:
    """Do what is safe to do; answers how many things that were."""
    from relayq.cli.screen import message
    from relayq.effects import Effects
    from relayq.errors import SetupError
    from relayq.receipt import Receipt

    effects = Effects(Receipt.load(home / "receipt.json"))
    done = 0
    for finding in _all(found):
        if finding.fix is None or finding.level == "ok":
            continue
        message(f"{finding.check}: {finding.sentence}")
        try:
            finding.fix(effects)
            done += 1
        except SetupError as error:
            message(f"{finding.check}: {error}")
    if not done:
        message("nothing here can be mended safely without you")
    return done


def _records(found: Found, quiet: bool) -> list[dict[str, object]]:
    return [
        {
            "group": group,
            "check": finding.check,
            "level": finding.level,
            "sentence": finding.sentence,
            "mend": finding.mend,
            "fixable": finding.fix is not None,
        }
        for group, findings in found.items()
        for finding in findings
        if not quiet or finding.level != "ok"
    ]


def _show(found: Found, quiet: bool, *, here: bool) -> None:
    from relayq.cli.screen import say

    for group, findings in found.items():
        told = [finding for finding in findings if not quiet or finding.level != "ok"]
        if not told:
            continue
        elsewhere = group == "Broker" and not here and any(finding.level != "ok" for finding in told)
        say(f"{group} (to be mended on its machine)" if elsewhere else group)
        for finding in told:
            _say_finding(finding)
        say("")
    counts = [(_count(found, level), level) for level in ("problem", "warning")]
    said = " and ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in counts if n)
    if said:
        say(f"{said}. What each means: {PAGE}")
    elif not quiet:
        say("All is well.")


def _say_finding(finding: Finding) -> None:
    import shutil
    import textwrap

    from relayq.cli.screen import NARROWEST, plain, shorten

    width = max(NARROWEST, min(shutil.get_terminal_size().columns, 100))
    head = f"  {finding.level.ljust(7)}  {finding.check.ljust(15)}  "
    room = width - len(head)
    lines = [plain(line) for line in textwrap.wrap(finding.sentence, room, break_on_hyphens=False)] or [""]
    if finding.level == "ok" and not finding.mend:
        lines = [shorten(plain(finding.sentence), room)]
    coloured = "  " + click.style(finding.level.ljust(7), fg=COLOURS[finding.level]) + head[9:]
    for number, line in enumerate(lines):
        click.echo((coloured if number == 0 else " " * len(head)) + line)
    if finding.mend:
        # On a line of its own and never broken, to be copied.
        click.echo("    " + click.style(f"$ {plain(finding.mend)}", bold=True))


def _count(found: Found, level: str) -> int:
    return sum(finding.level == level for finding in _all(found))


def _all(found: Found) -> list[Finding]:
    return [finding for findings in found.values() for finding in findings]
