"""The one way in which setup touches a machine: said beforehand, done only where something differs, noted for later."""

from __future__ import annotations

import difflib
import os
import pwd
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from relayq.errors import SetupError
from relayq.receipt import Receipt

Say = Callable[[str], None]


def to_stderr(sentence: str) -> None:
    """One line for whoever watches."""
    stream: TextIO = sys.stderr
    stream.write(f"{sentence}\n")
    stream.flush()


class Effects:
    """Writes files, makes links and runs commands; notes each in the receipt.

    In a dry run it only says what it would do, with a diff of each file. `changed` holds the names of what differed,
    for whoever decides whether a restart is due. What we may not write is done through sudo (`elevate`), command by
    command.
    """

    def __init__(
        self, receipt: Receipt, *, dry_run: bool = False, say: Say = to_stderr, elevate: Sequence[str] | None = None
    ) -> None:
        self.receipt = receipt
        self.dry_run = dry_run
        self.changed: set[str] = set()
        self._say = say
        self._elevate = tuple(elevate) if elevate is not None else _elevation()

    def say(self, sentence: str) -> None:
        """A line for whoever watches."""
        self._say(sentence)

    # ── files ──

    def folder(self, path: Path, *, mode: int = 0o755, owner: str | None = None) -> bool:
        """A folder with these rights; True if it was not there."""
        if path.is_dir():
            return False
        self._announce(f"make the folder {path}")
        if not self.dry_run:
            self._run_raw(["install", "-d", "-m", f"{mode:o}", *_owner(owner), str(path)], path)
            self.receipt.note_folder(path)
        self.changed.add(str(path))
        return True

    def file(self, path: Path, text: str, *, mode: int = 0o644, owner: str | None = None, secret: bool = False) -> bool:
        """A file with this text; True if it had another. An edited one is kept, with `.new` beside it."""
        old = self._read(path)
        if old == text:
            if not self.dry_run and not self.receipt.knows(path):
                self.receipt.note_file(path, text)
            return False
        edited = old is not None and self.receipt.knows(path) and not self.receipt.wrote(path, old)
        target = path.with_name(f"{path.name}.new") if edited else path
        if edited:
            self._announce(f"keep {path}, which was edited, and write {target}")
        else:
            self._announce(f"{'change' if old is not None else 'write'} {path}")
        if self.dry_run and not secret:
            self._show_diff(path, old or "", text)
        if not self.dry_run:
            self._write(target, text, mode, owner)
            self.receipt.note_file(target, text)
        if not edited:
            self.changed.add(str(path))
        return not edited

    def link(self, path: Path, target: Path) -> bool:
        """A symbolic link; True if it pointed elsewhere. Replaced in one step."""
        if path.is_symlink() and Path(os.readlink(path)) == target:  # noqa: PTH115 - readlink() as it stands
            return False
        if path.exists() and not path.is_symlink():
            raise SetupError(f"{path} is in the way: it is no link of ours. Move it away and run this again")
        self._announce(f"link {path} to {target}")
        if not self.dry_run:
            new = path.with_name(f".{path.name}.new")
            self._run_raw(["ln", "-sfn", str(target), str(new)], path)
            self._run_raw(["mv", "-fT" if sys.platform == "linux" else "-fh", str(new), str(path)], path)
            self.receipt.note_file(path, None)
        self.changed.add(str(path))
        return True

    def remove(self, path: Path) -> None:
        """A file, a link or a whole folder, if it is there."""
        if not (path.exists() or path.is_symlink()):
            return
        self._announce(f"remove {path}")
        if not self.dry_run:
            self._run_raw(["rm", "-rf", "--", str(path)], path)
            self.receipt.forget(path)

    # ── commands ──

    def run(
        self,
        argv: Sequence[str],
        *,
        why: str | None = None,
        root: bool = False,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout: float = 600,
        quiet: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that changes something. `root`: through sudo, unless we are root.

        Raises SetupError with its words. `why` says in a few words what it is for; `quiet` is for one that changes
        nothing worth a line.
        """
        full = [*(self._elevate if root else ()), *argv]
        if not quiet:
            self._announce(f"{why}: {shlex.join(full)}" if why else shlex.join(full))
        if self.dry_run:
            return subprocess.CompletedProcess(full, 0, "", "")
        return run_command(full, check=check, env=env, stdin=stdin, timeout=timeout)

    # ── underneath ──

    def _announce(self, what: str) -> None:
        self._say(f"  would {what}" if self.dry_run else f"  {what}")

    def _show_diff(self, path: Path, old: str, new: str) -> None:
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), str(path), str(path), lineterm="", n=1)
        for line in lines:
            self._say(f"    {line}")

    def _read(self, path: Path) -> str | None:
        try:
            return path.read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            if self.dry_run:
                return None
            done = run_command([*self._elevate, "cat", str(path)], check=False)
            return done.stdout if done.returncode == 0 else None

    def _write(self, path: Path, text: str, mode: int, owner: str | None) -> None:
        new = path.with_name(f".{path.name}.new")
        elevate = self._elevation_for(path)
        run_command([*elevate, "install", "-m", f"{mode:o}", *_owner(owner), "/dev/stdin", str(new)], stdin=text)
        run_command([*elevate, "mv", "-f", str(new), str(path)])

    def _run_raw(self, argv: Sequence[str], path: Path) -> None:
        run_command([*self._elevation_for(path), *argv])

    def _elevation_for(self, path: Path) -> tuple[str, ...]:
        above = path.parent
        while not above.exists():
            above = above.parent
        return () if os.access(above, os.W_OK) else self._elevate


def run_command(
    argv: Sequence[str],
    *,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = 600,
) -> subprocess.CompletedProcess[str]:
    """A command and its output. Raises SetupError with what it said if it fails (with `check`) or is not there."""
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=None if env is None else {**os.environ, **env},
            timeout=timeout,
        )
    except FileNotFoundError:
        if check:
            raise SetupError(f"there is no command {argv[0]} here; install it and run this again") from None
        return subprocess.CompletedProcess(list(argv), 127, "", f"{argv[0]}: not found")
    except subprocess.TimeoutExpired:
        raise SetupError(f"{shlex.join(argv)} has not ended within {timeout:.0f} s") from None
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise SetupError(f"{shlex.join(argv)} failed: " + " / ".join(said[-5:]))
    return done


def _owner(owner: str | None) -> list[str]:
    if owner is None:
        return []
    user, _, group = owner.partition(":")
    return ["-o", user, "-g", group or str(pwd.getpwnam(user).pw_gid)]


def _elevation() -> tuple[str, ...]:
    if os.geteuid() == 0:
        return ()
    for name in ("sudo", "doas"):
        if shutil.which(name):
            return (name,)
    return ()
