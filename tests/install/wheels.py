"""A wheel of this checkout, as it would be released: of the files that git has or would take, as they are now."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import relayq

from .commands import call

ROOT = Path(relayq.__file__).parent.parent
_FILES = ("--cached", "--others", "--exclude-standard")  #: new ones too, but nothing that is ignored


def build(folder: Path) -> Path:
    """Build it in a folder. Needs the package index for what builds it."""
    source = folder / "source"
    for name in filter(None, call("git", "-C", ROOT, "ls-files", "-z", *_FILES).split("\0")):
        if (ROOT / name).is_file():  # one that was deleted is still known until the commit
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--wheel-dir", str(folder / "wheel")]
    call(sys.executable, "-m", "pip", "wheel", *options, source, timeout=300)
    (wheel,) = (folder / "wheel").glob("*.whl")
    return wheel
