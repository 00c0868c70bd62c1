"""The API's output: piece by piece for who follows, whole for who downloads."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from relayq.model import Output
from relayq.server.jobs import JobId, the_job
from relayq.server.tools import Tools, ToolsOf

router = APIRouter(prefix="/api/v1/jobs", tags=["output"])

Attempt = Annotated[int | None, Query(ge=1, le=100_000, description="its number; the last by default")]
_STREAMS = {"1": (1,), "2": (2,), "both": (1, 2)}


@dataclass(frozen=True, kw_only=True)
class ChunkRow:
    """A piece of output."""

    stream: int  #: 1 stdout, 2 stderr
    offset: int  #: bytes of its stream before it
    data: str  #: base64


@dataclass(frozen=True, kw_only=True)
class OutputPage:
    """What is kept of an attempt's output from a position on."""

    attempt: int
    chunks: tuple[ChunkRow, ...]
    next: int  #: `after` for what comes later
    ended: bool  #: nothing will come later
    dropped_bytes: int  #: left out before this: from the middle of its output, or all of it to keep within the budget


@router.get("/{id}/output")
def output(
    id: JobId,
    tools: ToolsOf,
    attempt: Attempt = None,
    after: Annotated[int, Query(ge=0, le=1 << 53)] = 0,
) -> OutputPage:
    """Output from a position on."""
    return output_page(tools, id, attempt, after)


@router.get(
    "/{id}/output/raw",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "the bytes that are kept"}},
)
def raw(
    id: JobId, tools: ToolsOf, stream: Literal["1", "2", "both"] = "both", attempt: Attempt = None
) -> StreamingResponse:
    """The bytes, to download."""
    job = the_job(tools, id)
    found = tools.store.output(id, attempt=attempt)
    wanted = _STREAMS[stream]
    name = {"1": "stdout", "2": "stderr", "both": "output"}[stream]
    headers = {"Content-Disposition": f'attachment; filename="{job.id}-{found.attempt}.{name}.txt"'}

    def pieces() -> Iterator[bytes]:
        return (chunk.data for chunk in found.chunks if chunk.stream in wanted)

    return StreamingResponse(pieces(), media_type="application/octet-stream", headers=headers)


def output_page(tools: Tools, id: str, attempt: int | None, after: int) -> OutputPage:
    """Raises UnknownJob."""
    found = tools.store.output(id, attempt=attempt, position=after)
    return OutputPage(
        attempt=found.attempt,
        chunks=tuple(
            ChunkRow(stream=chunk.stream, offset=chunk.offset, data=base64.b64encode(chunk.data).decode("ascii"))
            for chunk in found.chunks
        ),
        next=found.next,
        ended=found.ended,
        dropped_bytes=_dropped(found),
    )


def _dropped(found: Output) -> int:
    """Bytes missing between the pieces of each stream."""
    missing, ends = 0, dict[int, int]()
    for chunk in found.chunks:
        missing += max(0, chunk.offset - ends.get(chunk.stream, chunk.offset))
        ends[chunk.stream] = chunk.offset + len(chunk.data)
    return missing
