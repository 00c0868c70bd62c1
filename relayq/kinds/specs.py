"""The spec of a job that converts or transcribes: what its machine must have follows from what is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from relayq.errors import NoSuchWorker
from relayq.kinds import transcode, transcribe
from relayq.model import JobSpec
from relayq.spec import make_spec


def media_spec(kind: str, params: dict[str, Any], **options: Any) -> JobSpec:
    """The spec, with its needs and preferences added to those of `options` (fields of JobSpec). Raises BadSpec."""
    given = {name: value for name, value in params.items() if value is not None}
    own = make_spec(None, kind=kind, params=given)  # what is asked is checked first
    if kind == "transcode":
        need, prefer = "ffmpeg", transcode.preferred(own.params)
    else:
        need, prefer = own.params.get("engine") or transcribe.CAPABILITY, ["heavy"]
    options["needs"] = [*_words(options.get("needs")), need]
    if options.get("prefer") is None:
        options["prefer"] = prefer
    return make_spec(None, kind=kind, params=given, **options)


@contextmanager
def advising(spec: JobSpec) -> Iterator[None]:
    """A refusal because no machine can do this says how to make one able to."""
    try:
        yield
    except NoSuchWorker as refused:
        if spec.kind == "transcribe":
            advice = transcribe.how_to_install(spec.params.get("engine"))
        else:
            advice = "Install ffmpeg there: apt install ffmpeg; on a Mac: brew install ffmpeg"
        raise NoSuchWorker(f"{refused}. {advice}") from None


def _words(given: str | Iterable[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())
