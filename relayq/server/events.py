"""The API's events: what happens, as it happens, by server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from relayq.errors import BrokerUnavailable, RelayqError
from relayq.monitoring import JobDetails
from relayq.server.jobs import job_details
from relayq.server.live import EVERY, Client, event, trouble
from relayq.server.output import OutputPage, output_page
from relayq.server.tools import Tools, ToolsOf
from relayq.spec import ID

router = APIRouter(prefix="/api/v1", tags=["events"])

PING = 5.0  #: seconds: so long a silent stream is a lost one
SLOW = 10.0  #: seconds a client may take for a frame before it is dropped; it comes back and is told everything anew

_DETAILS = TypeAdapter(JobDetails)
_OUTPUT = TypeAdapter(OutputPage)


class EventStream(StreamingResponse):
    """A response that nobody may hold up."""

    media_type = "text/event-stream"

    async def stream_response(self, send: Send) -> None:
        """As its base; a client that does not read is left."""

        async def bounded(message: Message) -> None:
            await asyncio.wait_for(send(message), SLOW)

        try:
            await super().stream_response(bounded)
        except TimeoutError:
            return  # the server closes what is not complete


@router.get(
    "/events",
    response_class=EventStream,
    responses={200: {"content": {"text/event-stream": {}}, "description": "overview, job, output, ping, trouble"}},
)
async def events(
    request: Request,
    tools: ToolsOf,
    job: Annotated[str | None, Query(pattern=f"^{ID.pattern}$", description="also tell of this job")] = None,
    after: Annotated[int, Query(ge=0, le=1 << 53, description="its output from this position on")] = 0,
) -> EventStream:
    """Overviews at once and after every change, merged to four a second; with `job` its details and output too."""
    return EventStream(_frames(request, tools, job, after), headers={"X-Accel-Buffering": "no"})


async def _frames(request: Request, tools: Tools, job: str | None, after: int) -> AsyncIterator[bytes]:
    reader = _JobReader(tools, job, after) if job else None
    with tools.live.client(job) as client:
        if job:
            tools.output_news.look()
        seen, ping_at = 0, time.monotonic() + PING
        yield b"retry: 1000\n\n"
        while not tools.live.over:
            client.wake.clear()
            frames = [] if tools.live.number in (0, seen) else [tools.live.frame]
            seen = tools.live.number
            if reader is not None:
                frames += await reader.frames(client)
            now = time.monotonic()
            if now >= ping_at:
                if not await _still_welcome(request, tools):
                    return
                frames.append(event("ping", b"{}"))
                ping_at = now + PING
            if frames:
                yield b"".join(frames)
                await asyncio.sleep(EVERY)
            with suppress(TimeoutError):
                await asyncio.wait_for(client.wake.wait(), max(0.0, ping_at - time.monotonic()))


async def _still_welcome(request: Request, tools: Tools) -> bool:
    """Whether the session or token has not been ended meanwhile."""
    try:
        return await tools.doors.caller(request) is not None
    except BrokerUnavailable:
        return True  # who was let in stays until somebody can be asked


class _JobReader:
    """Reads what has changed of one job."""

    def __init__(self, tools: Tools, job: str, after: int) -> None:
        self._tools = tools
        self._job = job
        self._position = after
        self._attempt: int | None = None

    async def frames(self, client: Client) -> list[bytes]:
        """Frames for it; none if nothing has changed."""
        if not client.changed:
            return []
        client.changed = False
        try:
            return await run_in_threadpool(self._read)
        except RelayqError as error:
            return [trouble(error)]

    def _read(self) -> list[bytes]:
        details = job_details(self._tools, self._job)  # with every piece of output: a job's progress stands there
        frames = [event("job", _DETAILS.dump_json(details))]
        page = output_page(self._tools, self._job, self._attempt, self._position)
        if page.chunks or self._attempt is None or page.ended:
            frames.append(event("output", _OUTPUT.dump_json(page)))
        self._attempt, self._position = page.attempt or None, page.next
        if page.ended and details.attempts > page.attempt:
            self._attempt, self._position = page.attempt + 1, 0
            page = output_page(self._tools, self._job, self._attempt, 0)
            frames.append(event("output", _OUTPUT.dump_json(page)))
            self._position = page.next
        return frames
