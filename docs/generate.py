"""Writes docs/cli.md and docs/settings.md from the program itself; a test fails when they are out of date."""

from __future__ import annotations

import re
from pathlib import Path

import click

from relayq import config
from relayq.cli.app import cli

HERE = Path(__file__).parent


def cli_page() -> str:
    """Every command's own help."""
    page = ["# Commands\n\nEach command's `--help`. Made by docs/generate.py."]
    root = click.Context(cli, info_name="relayq", **cli.context_settings)
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=root, max_content_width=100, terminal_width=100)
        page.append(f"## relayq {name}\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(page) + "\n"


def settings_page() -> str:
    """Every field of Settings with the comment above it."""
    source = Path(config.__file__).read_text("utf-8")
    comments = {
        name: " ".join(line.strip().removeprefix("#:").strip() for line in text.strip().splitlines())
        for text, name in re.findall(r"((?: *#:.*\n)+) +(\w+):", source)
    }
    page = [
        "# Settings",
        "Defaults, then `config.yml` in RELAYQ_HOME (`~/.relayq`), then the environment. `relayq config show` prints "
        "them with where each came from. Durations are seconds or `15s`, `2h`, `7d`; sizes are bytes or `256M`. "
        "Made by docs/generate.py.",
        "| in config.yml | in the environment | |\n|---|---|---|",
    ]
    rows = [f"| | `RELAYQ_HOME` | {comments['home']} |"]
    rows += [f"| `{s.key}` | `{s.variable}` | {comments[s.field]} |" for s in config.SETTINGS]
    page[-1] += "\n" + "\n".join(rows)
    return "\n\n".join(page) + "\n"


def main() -> None:
    """Write both pages."""
    (HERE / "cli.md").write_text(cli_page(), "utf-8")
    (HERE / "settings.md").write_text(settings_page(), "utf-8")


if __name__ == "__main__":
    main()
