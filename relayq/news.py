"""What a client knows of the jobs it waits for: one `Watched` a job, shared by all its handles and gone with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

from relayq.model import Chunk, Job, JobSpec
from relayq.store import NewJob


@dataclass(frozen=True, slots=True)
class Ended:
    """What is known of a job that has ended."""

    job: Job
    chunks: tuple[Chunk, ...] | None = None  #: its output, if it came with the news


class Watched:
    """A job and the news of it so far. Only the Watcher changes it, under its lock; anyone may read it."""

    __slots__ = ("__weakref__", "ended", "epoch", "gone", "id", "new", "pieces", "since", "spec")

    def __init__(self, id: str, new: NewJob | None = None) -> None:
        self.id = id
        self.new = new  #: if it was submitted here, and may have to be again
        self.spec = new.spec if new else None  #: as far as it is known: it need not travel with the news
        self.since: float | None = (
            None  #: when (time.time) it was first in the store for certain; None: on its way there
        )
        self.epoch = 0  #: of the store, when it was submitted here
        self.pieces = 0  #: of output heard of
        self.ended: Ended | None = None
        self.gone = False  #: the store knows no such job (any more)

    @property
    def over(self) -> bool:
        """Whether there will be no further news."""
        return self.ended is not None or self.gone

    def answer(self) -> Watched | None:
        """Itself, once it is over."""
        return self if self.over else None

    def news_since(self, pieces: int) -> Watched | None:
        """Itself, once it is over or more output has come than `pieces`."""
        return self if self.over or self.pieces != pieces else None


class Specs(Mapping[str, JobSpec]):
    """The specs among what is watched, by id: a view."""

    def __init__(self, watched: WeakValueDictionary[str, Watched]) -> None:
        self._watched = watched

    def __getitem__(self, id: str) -> JobSpec:
        spec = self._watched[id].spec
        if spec is None:
            raise KeyError(id)
        return spec

    def __iter__(self) -> Iterator[str]:
        return (watched.id for watched in list(self._watched.values()) if watched.spec is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Arrivals:
    """The ids of some jobs in the order their ends are heard of, each once."""

    def __init__(self, jobs: Iterable[Watched]) -> None:
        self._awaited = {watched.id: watched for watched in jobs}
        self._arrived: deque[str] = deque()

    def hear(self, id: str) -> None:
        """This job is over; to be told so twice changes nothing."""
        if id in self._awaited:
            self._arrived.append(id)

    def take(self) -> str | None:
        """The next, or None if it has not come yet. Raises StopIteration after the last."""
        while self._arrived:
            id = self._arrived.popleft()
            if self._awaited.pop(id, None) is not None:
                return id
        if not self._awaited:
            raise StopIteration
        return None
