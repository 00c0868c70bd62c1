"""The root of the command line: its verbs, loaded when they are used, and the one place where all errors end."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from relayq.cli.context import App
from relayq.cli.exits import report

#: Verbs by what they are for: (module in relayq.cli, help in the list of verbs).
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Run things": {
        "run": ("run", "Run a command and show its output."),
        "submit": ("submit", "Queue a command and print its id."),
        "map": ("map", "Queue many commands."),
        "transcode": ("transcode", "Convert a video."),
        "transcribe": ("transcribe", "Turn speech into text."),
    },
    "Jobs": {
        "list": ("list", "List jobs, newest first."),
        "show": ("show", "Show everything about a job."),
        "logs": ("logs", "Print a job's output."),
        "wait": ("wait", "Wait until jobs have ended."),
        "cancel": ("cancel", "End jobs."),
        "retry": ("retry", "Queue jobs again, as new ones."),
        "explain": ("explain", "Say why a job is where it is."),
    },
    "Machines": {
        "status": ("status", "Show the broker, the workers and what waits."),
        "top": ("top", "See machines and jobs live."),
        "workers": ("workers", "List the workers."),
        "pause": ("pause", "Have a worker take nothing new for a while."),
        "drain": ("drain", "Have a worker finish what it runs and take nothing new."),
        "resume": ("resume", "Let a worker take jobs again."),
        "worker": ("worker", "Let this machine work, or remove a worker."),
        "dashboard": ("dashboard", "Open the dashboard in a browser."),
        "token": ("token", "Let machines join, and programs use the server."),
        "server": ("server", "Serve the dashboard and the API, and let machines join."),
        "backup": ("backup", "Save everything the broker holds in a file."),
        "restore": ("restore", "Bring a backup back."),
    },
    "This machine": {
        "setup": ("setup", "Make this machine a broker or a worker."),
        "upgrade": ("upgrade", "Install the broker's version here."),
        "rollback": ("rollback", "Let the version before run again."),
        "up": ("up", "Start a broker, a worker and the dashboard on this machine."),
        "down": ("down", "Stop what `up` started."),
        "demo": ("demo", "See relayq at work, in under a minute."),
        "doctor": ("doctor", "Look for what is wrong here, and say what mends it."),
        "service": ("service", "Have the worker start at boot, look at it, remove it."),
        "config": ("config", "Show the settings."),
        "version": ("version", "Print the version."),
        "completion": ("completion", "Print the completion script of a shell."),
    },
}
VERBS = {verb: entry for section in SECTIONS.values() for verb, entry in section.items()}


class Verbs(click.Group):
    """A group whose verbs are imported when they are used: `relayq version` must not pay for `relayq run`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb; None if there is none of that name."""
        if cmd_name not in VERBS:
            return None
        command = import_module(f"relayq.cli.{VERBS[cmd_name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, with the name that was probably meant."""
        if args[0] not in VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            close = get_close_matches(args[0], VERBS, 1)
            hint = f'did you mean "{close[0]}"?' if close else "see: relayq --help"
            raise click.UsageError(f'there is no verb "{args[0]}"; {hint}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs by section, without importing them."""
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(verb, short) for verb, (_, short) in verbs.items()])

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        """Reads the root's own options; what is wrong with them ends here."""
        try:
            _check_text(args)
            return super().make_context(info_name, args, *rest, **extra)
        except (click.ClickException, BrokenPipeError) as error:
            raise SystemExit(report(error)) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Does it. Verbs answer their exit code, or None for 0."""
        app = ctx.ensure_object(App)
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            ctx.color = False
        try:
            code = super().invoke(ctx)
            _flush()
        except (SystemExit, click.exceptions.Exit):
            raise
        except BaseException as error:  # noqa: BLE001  (a traceback helps nobody who types commands)
            code = report(error, stands_for_job=app.stands_for_job)
        if code:
            raise SystemExit(code)


def _check_text(args: list[str]) -> None:
    # Records are JSON: bytes that are no text cannot travel, and this is said before anything is.
    for number, arg in enumerate(args, 1):
        try:
            arg.encode()
        except UnicodeEncodeError:
            raise click.UsageError(
                f"argument {number} is not text in UTF-8 ({arg!a:.40}); see `relayq run --script` and `--stdin`"
            ) from None


def _flush() -> None:
    # Now, so that a reader who has gone is noticed here and not when the interpreter ends.
    sys.stdout.flush()
    sys.stderr.flush()


@click.command(cls=Verbs, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="relayq", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Your machines as one computer: run a command, and the right one of them does it.

    \b
    relayq up                       start here
    relayq run -- echo hello        run something, see its output
    relayq run --needs ffmpeg -- ffmpeg -i a.mov b.mp4

    Exit codes: run, wait and logs -f exit as the job does (128+N ended by signal N, 124 timed out, 130 cancelled, 125
    lost, not started or waited too long) and with 255 for what is not the job's doing. Other verbs: 0, 1 no or nothing
    found, 2 wrong usage, setting or job, 3 unknown or ambiguous id, 4 the broker does not answer, 5 refused. Every
    verb: 2 wrong usage, 130 interrupted, 141 nobody reads the output.

    An id may be shortened to its first letters; "last" is the newest job. RELAYQ_DEBUG=1 shows where an error arose.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
