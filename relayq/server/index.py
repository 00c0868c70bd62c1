"""An index of all jobs' words, states and ends in SQLite: what the store's own indexes cannot answer.

It can be thrown away at any time: the store is the truth, and rows shown are read from there. A job's row number is its
place in line in microseconds, so that the newest first is the order of the table.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relayq.model import Job, State
from relayq.server.words import match_expression, occur

VERSION = 1  #: of the tables; another makes the file anew
BLOCK = 1000  #: rows looked at in one go
FEW = 5000  #: rows of a rare value
BUDGET = 0.1  #: seconds a search may look; then it says how far it came
MOST_TEXT = 2000  #: characters of a job that can be searched for

_STATES = {state: number for number, state in enumerate(State)}
_ENDED = tuple(number for state, number in _STATES.items() if state.ended)
_TABLES = f"""
CREATE TABLE jobs (
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, state INTEGER NOT NULL, worker TEXT, exit_code INTEGER,
  ended_at REAL, text TEXT NOT NULL);
CREATE INDEX by_state ON jobs (state, n);
CREATE INDEX by_worker ON jobs (worker, n);
CREATE INDEX by_exit_code ON jobs (exit_code, n);
CREATE INDEX by_end ON jobs (ended_at);
CREATE VIRTUAL TABLE words USING fts5 (text, content='jobs', content_rowid='n', columnsize=0, prefix='2 3');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
PRAGMA user_version = {VERSION};
"""
# A page of the store may be older than an event: what has ended stays so.
_SAVE = f"""
INSERT INTO jobs (n, id, state, worker, exit_code, ended_at, text) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, worker = excluded.worker, exit_code = excluded.exit_code,
  ended_at = excluded.ended_at WHERE state NOT IN {_ENDED}
"""  # noqa: S608 (our own numbers)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is looked for; None: anything."""

    words: str | None = None
    states: tuple[State, ...] = ()
    worker: str | None = None
    exit_code: int | None = None
    since: float | None = None  #: submitted, seconds since the epoch
    until: float | None = None
    below: int | None = None  #: row to start below


@dataclass(frozen=True)
class Found:
    """Ids, newest first; `below` for what comes after them, None at the end."""

    ids: tuple[str, ...]
    below: int | None


class Index:
    """The file. One thread writes at a time; readers have connections of their own."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._writer = self._open()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._writer.close()

    # ── writing ──

    def save(self, jobs: Sequence[Job]) -> None:
        """Put jobs in, or what has become of them."""
        with self._writing() as writer:
            known = {row[0] for row in _select(writer, "SELECT id FROM jobs WHERE id IN ({})", [j.id for j in jobs])}
            rows = [_row(job) for job in jobs]
            writer.executemany(_SAVE, rows)
            new = [(row[0], row[6]) for row in rows if row[1] not in known]
            writer.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", new)

    def move(self, states: Sequence[tuple[str, State, str]]) -> set[str]:
        """Jobs (id, state, worker) that have not ended; those that are not in yet."""
        with self._writing() as writer:
            missing = set()
            for id, state, worker in states:
                done = writer.execute(
                    "UPDATE jobs SET state = ?, worker = coalesce(nullif(?, ''), worker) WHERE id = ?",
                    (_STATES[state], worker, id),
                )
                if not done.rowcount:
                    missing.add(id)
            return missing

    def forget(self, ids: Sequence[str]) -> None:
        """Take out what the store no longer has."""
        with self._writing() as writer:
            _remove(writer, _select(writer, "SELECT n, text FROM jobs WHERE id IN ({})", ids))

    def forget_before(self, ended_at: float) -> int:
        """Take out some of those that ended before; how many."""
        with self._writing() as writer:
            rows = writer.execute("SELECT n, text FROM jobs WHERE ended_at < ? LIMIT 1000", (ended_at,)).fetchall()
            _remove(writer, rows)
            return len(rows)

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self._writer.execute("PRAGMA user_version = 0")
            self._writer.close()
            self._writer = self._open()

    def note(self, key: str, value: str) -> None:
        """Remember something about the index itself."""
        with self._writing() as writer:
            writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def noted(self, key: str) -> str | None:
        """What was remembered."""
        with self._lock:
            row = self._writer.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    # ── reading ──

    def search(self, wanted: Wanted, limit: int) -> Found:
        """At most `limit` jobs; perhaps fewer although there are more, if they are rare: then go on from `below`."""
        give_up = time.monotonic() + BUDGET
        with closing(self._connect(read_only=True)) as reader:
            ids: list[str] = []
            rare = _rare(reader, wanted)
            candidates = _candidates(reader, wanted, rare)
            while block := [row[0] for row in candidates.fetchmany(BLOCK)]:
                fitting = _fitting(reader, wanted, block, check_words=rare is not None)[: limit - len(ids)]
                ids += [id for _, id in fitting]
                if len(ids) == limit:
                    return Found(tuple(ids), fitting[-1][0])
                if len(block) == BLOCK and time.monotonic() > give_up:
                    return Found(tuple(ids), block[-1])
            return Found(tuple(ids), None)

    # ── underneath ──

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._writer:
            yield self._writer

    def _open(self) -> sqlite3.Connection:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._usable():
            return self._connect()
        for suffix in ("", "-wal", "-shm"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        connection = self._connect()
        connection.executescript(_TABLES)
        return connection

    def _usable(self) -> bool:
        try:
            with closing(sqlite3.connect(self._file)) as there:
                return bool(there.execute("PRAGMA user_version").fetchone()[0] == VERSION)
        except sqlite3.DatabaseError:
            return False

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, check_same_thread=False)
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            self._file.chmod(0o600)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")  # it can be made anew
        return connection


def _row(job: Job) -> tuple[int, str, int, str | None, int | None, float | None, str]:
    outcome = job.attempt.outcome if job.attempt else None
    exit_code = outcome.exit_code if outcome and job.state.ended else None
    return (row_number(job.place), job.id, _STATES[job.state], job.worker, exit_code, job.ended_at, _text(job))


def row_number(place: float) -> int:
    """Of the job with this place."""
    return round(place * 1_000_000)


def _text(job: Job) -> str:
    spec = job.spec
    command = spec.command if isinstance(spec.command, str) else " ".join(spec.command or ())
    params = " ".join(str(value) for value in spec.params.values() if value is not None)
    needs = " ".join(spec.needs)
    words = (job.id, spec.name, spec.kind, command, params, spec.on, needs, (spec.script or "")[:MOST_TEXT])
    return " ".join(word for word in words if word)[:MOST_TEXT]


def _remove(writer: sqlite3.Connection, rows: Sequence[tuple[int, str]]) -> None:
    writer.executemany("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", rows)
    writer.executemany("DELETE FROM jobs WHERE n = ?", [(n,) for n, _ in rows])


def _range(wanted: Wanted) -> tuple[int, int]:
    """Rows below the first and from the second on."""
    below = [1 << 62]
    if wanted.below is not None:
        below.append(wanted.below)
    if wanted.until is not None:
        below.append(row_number(wanted.until))
    return min(below), 0 if wanted.since is None else row_number(wanted.since)


def _rare(reader: sqlite3.Connection, wanted: Wanted) -> str | None:
    """A column whose value is in so few rows that their words are sooner read than looked up; None if there is none."""
    for column in ("exit_code", "worker"):
        if (value := getattr(wanted, column)) is not None:
            sql = f"SELECT count(*) FROM (SELECT 1 FROM jobs WHERE {column} = ? LIMIT {FEW + 1})"  # noqa: S608 (our own)
            if reader.execute(sql, [value]).fetchone()[0] <= FEW:
                return column
    return None


def _candidates(reader: sqlite3.Connection, wanted: Wanted, rare: str | None) -> sqlite3.Cursor:
    """The rows that one index names, newest first: of what is likely to be rarest. They are found as they are read."""
    match = match_expression(wanted.words)
    first: list[Any]
    if rare is not None:
        sql, first = _by(rare), [getattr(wanted, rare)]
    elif match is not None:
        sql = "SELECT rowid FROM words WHERE words MATCH ? AND rowid < ? AND rowid >= ? ORDER BY rowid DESC"
        first = [match]
    elif wanted.exit_code is not None:
        sql, first = _by("exit_code"), [wanted.exit_code]
    elif wanted.worker is not None:
        sql, first = _by("worker"), [wanted.worker]
    elif len(wanted.states) == 1:
        sql, first = _by("state"), [_STATES[wanted.states[0]]]
    else:
        sql, first = "SELECT n FROM jobs WHERE n < ? AND n >= ? ORDER BY n DESC", []
    return reader.execute(sql, [*first, *_range(wanted)])


def _by(column: str) -> str:
    return f"SELECT n FROM jobs WHERE {column} = ? AND n < ? AND n >= ? ORDER BY n DESC"  # noqa: S608 (our own names)


def _fitting(
    reader: sqlite3.Connection, wanted: Wanted, block: Sequence[int], *, check_words: bool
) -> list[tuple[int, str]]:
    """Those of these rows that are all that is looked for: (row, id)."""
    wheres: list[str] = []
    args: list[Any] = []
    if wanted.states:
        wheres.append(f"state IN ({','.join('?' * len(wanted.states))})")
        args += [_STATES[state] for state in wanted.states]
    for column, value in (("worker", wanted.worker), ("exit_code", wanted.exit_code)):
        if value is not None:
            wheres.append(f"{column} = ?")
            args.append(value)
    where = "".join(f" AND {condition}" for condition in wheres)
    sql = f"SELECT n, id, text FROM jobs WHERE n IN ({{}}){where} ORDER BY n DESC"  # noqa: S608 (our own names)
    rows = _select(reader, sql, block, args)
    asked = wanted.words or "" if check_words else ""
    return [(int(n), str(id)) for n, id, text in rows if occur(asked, text)]


def _select(
    connection: sqlite3.Connection, sql: str, values: Sequence[object], more: Sequence[object] = ()
) -> list[tuple[Any, ...]]:
    return connection.execute(sql.format(",".join("?" * len(values))), [*values, *more]).fetchall()
