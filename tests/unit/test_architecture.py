"""Promises about the shape of the program that no other test would notice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def modules_after(statement: str) -> set[str]:
    """What a fresh Python has imported after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_relayq_imports_neither_celery_nor_redis() -> None:
    """Invariant 11; and the supervisor, which imports the package too, stays small."""
    assert not modules_after("import relayq") & {"celery", "kombu", "redis", "yaml", "click", "dataclasses"}
    assert not modules_after("from relayq import job") & {"celery", "kombu", "redis", "yaml", "click"}


def test_importing_relayq_does_no_input_or_output() -> None:
    """No file, no socket: an audit hook would see them."""
    code = (
        "import sys, relayq.client, relayq.handle\n"
        "seen = []\n"
        "sys.addaudithook(lambda e, a: seen.append((e, a[0])) if e in ('open', 'socket.connect') else None)\n"
        "import relayq\nfrom relayq import job\n"
        "print([s for s in seen if not str(s[1]).endswith(('.py', '.pyc'))])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_every_public_name_exists() -> None:
    """`__all__` is a promise, and lazy names break silently."""
    import relayq

    for name in relayq.__all__:
        assert getattr(relayq, name) is not None
    with pytest.raises(AttributeError):
        _ = relayq.no_such_name


def test_the_supervisor_uses_the_standard_library_only() -> None:
    """It must outlive upgrades of everything else."""
    loaded = modules_after("import relayq.supervisor.serve, relayq.supervisor.client")
    names = {name.partition(".")[0] for name in loaded if not name.startswith("_")}
    assert names - set(sys.stdlib_module_names) <= {"relayq", "sitecustomize", "usercustomize"}
    assert not {name for name in loaded if name.startswith("relayq.")} - {
        name for name in loaded if name.startswith("relayq.supervisor")
    }


def test_floors_hold() -> None:
    """Imports go down only."""
    linter = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run([str(linter)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("folder", ["relayq"])
def test_every_module_opens_with_one_sentence(folder: str) -> None:
    """What it is for, said before the first import."""
    for path in (ROOT / folder).rglob("*.py"):
        first = path.read_text("utf-8").lstrip().splitlines()[:1]
        assert first, path
        assert first[0].startswith(('"""', "#!")), path
