"""The documentation says what the program does."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import click
import pytest

import relayq
from relayq.cli.app import cli
from relayq.client import Client
from relayq.model import JobSpec, Reason

ROOT = Path(__file__).parents[2]
PAGES = (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "examples" / "README.md")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["cli", "settings"])
def test_reference_pages_are_up_to_date(page: str) -> None:
    """Mend with: .venv/bin/python docs/generate.py"""
    written = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    assert written == getattr(generator(), f"{page}_page")()


def test_every_command_is_documented() -> None:
    """With more than its name."""
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    for name in cli.list_commands(None):  # type: ignore[arg-type]
        assert f"## relayq {name}\n" in page


def test_every_job_option_is_an_argument_of_run_and_is_explained() -> None:
    """What can be asked can be asked from Python, and read about."""
    import inspect

    arguments = set(inspect.signature(Client.run).parameters)
    usage = (ROOT / "USAGE.md").read_text("utf-8") + (ROOT / "docs" / "cli.md").read_text("utf-8")
    for field in dataclasses.fields(JobSpec):
        if field.name in {"kind", "params"}:
            continue
        assert field.name in arguments
        assert field.name in usage or field.name.replace("_", "-") in usage, field.name


def test_the_glossary_has_each_word_once_and_in_order() -> None:
    """So that it can be found."""
    words = re.findall(r"^\* \*\*(.+?)\*\*", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.MULTILINE)
    assert words == sorted(set(words))


def test_every_error_is_in_the_tree_drawn_at_its_top() -> None:
    """The drawing is the table of contents."""
    from relayq import errors

    drawn = errors.__doc__ or ""
    for name, thing in vars(errors).items():
        if isinstance(thing, type) and issubclass(thing, errors.RelayqError):
            assert name in drawn


def test_links_of_the_readme_lead_somewhere() -> None:
    """All pages at the root, and in docs."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_that_a_page_names_is_there() -> None:
    """In code: `relayq VERB`, at the beginning of a line of a block or after what leads to it."""
    for page in PAGES:
        for verb, word in re.findall(
            r"(?:^|[`(|&;] ?|sudo |bin/)relayq ([a-z]+)(?: ([a-z]+))?", code_of(page), re.MULTILINE
        ):
            found = cli.get_command(None, verb)  # type: ignore[arg-type]
            assert found is not None, f"{page.name}: relayq {verb}"
            if isinstance(found, click.Group) and word and not found.invoke_without_command:
                assert word in found.commands, f"{page.name}: relayq {verb} {word}"


def code_of(page: Path) -> str:
    """What a page shows as code: its blocks, and what stands between backticks in its sentences."""
    text = page.read_text("utf-8")
    fences = r"^ *```.*?^ *```"
    inline = re.findall(r"`[^`]+`", re.sub(fences, "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*re.findall(fences, text, re.MULTILINE | re.DOTALL), *inline])


def test_architecture_names_tests_that_exist() -> None:
    """An invariant without its test is a wish."""
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py"))
    for name in re.findall(r"`(test_\w+)`", (ROOT / "ARCHITECTURE.md").read_text("utf-8")):
        assert f"def {name}(" in tests, name


def test_every_reason_is_one_word_that_people_can_branch_on() -> None:
    """And the version is the package's own."""
    assert all(re.fullmatch(r"[a-z_]+", reason) for reason in Reason)
    assert f'version = "{relayq.__version__}"' in (ROOT / "pyproject.toml").read_text("utf-8")
