"""The demo from its title to its summary: plays the steps, judges, cleans up."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from relayq import calling
from relayq.demo.interrupts import Interrupts
from relayq.demo.nodes import Nodes
from relayq.demo.show import Screen
from relayq.demo.stage import Facts, Stage
from relayq.demo.steps import STEPS
from relayq.errors import RelayqError
from relayq.supervisor.messages import SupervisorError

PATIENCE = 75.0  #: seconds for all steps together, on however slow a machine
INTERRUPTED = 130
TRY_IT = (
    ("up", "start a broker and a worker on this machine"),
    ("run -- echo hello", "run something, see its output"),
    ("status", "see what there is"),
    ("down", "stop what `up` started"),
)


def play() -> int:
    """Show it. 0 if every step did what it says, 1 if not, 130 after Ctrl-C."""
    screen = Screen(sys.stdout)
    try:
        with Interrupts() as interrupts, Nodes(interrupts) as nodes:
            screen.title("relayq: the machines you own, as one computer")
            screen.aside(f"everything happens in {nodes.folder}, which is removed at the end")
            began = time.monotonic()
            results = _all_steps(Stage(nodes=nodes, screen=screen, until=began + PATIENCE))
            took = time.monotonic() - began
            if not all(facts.ok for facts in results):
                _show_logs(nodes, screen)
        return _sum_up(results, took, screen)
    except KeyboardInterrupt:
        screen.line("stopped; no process and no file of the demo is left")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _all_steps(stage: Stage) -> list[Facts]:
    """All steps in turn; what comes after nodes that did not come up is not tried."""
    results: list[Facts] = []
    for number, (title, word, step) in enumerate(STEPS, 1):
        stage.screen.title(f"{number}. {title}")
        stage.screen.aside(word)
        try:
            facts = step(stage)
        except (RelayqError, SupervisorError, OSError, subprocess.SubprocessError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            facts = Facts(ok=False, figures=str(error))
        stage.screen.lines(facts.details)
        stage.screen.verdict(facts.ok, facts.figures)
        results.append(facts)
        if not results[0].ok:
            break
    return results


def _sum_up(results: Sequence[Facts], took: float, screen: Screen) -> int:
    screen.title(f"What you saw in {took:.0f} s")
    for (title, _, _), facts in zip(STEPS, results, strict=False):
        screen.verdict(facts.ok, f"{title}: {facts.figures}")
    for title, _, _ in STEPS[len(results) :]:
        screen.verdict(False, f"{title}: not tried")
    if len(results) < len(STEPS) or not all(facts.ok for facts in results):
        return 1
    screen.title("Try it yourself")
    screen.lines(calling.examples(*TRY_IT))
    return 0


def _show_logs(nodes: Nodes, screen: Screen) -> None:
    for name, lines in nodes.tails():
        screen.title(f"the end of {name}")
        screen.lines(lines)
