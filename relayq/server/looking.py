"""The API's one look at everything, and whether the server itself is well."""

from __future__ import annotations

import time

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

import relayq
from relayq.errors import BrokerUnavailable
from relayq.monitoring import Overview, overview, unreachable
from relayq.server.tools import ToolsOf

router = APIRouter()


class Health(BaseModel):
    """Whether the server can do its work."""

    ok: bool
    version: str
    broker: bool


@router.get("/api/v1/overview", tags=["overview"])
def look(tools: ToolsOf) -> Overview:
    """How things are; also while the broker is away, which it then says."""
    url = tools.settings.broker_url
    try:
        return overview(tools.store, url)
    except BrokerUnavailable as error:
        return unreachable(error, time.time(), url)


@router.get(
    "/metrics",
    tags=["overview"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "as Prometheus reads them"}},
)
def metrics(tools: ToolsOf) -> Response:
    """Numbers for Prometheus, which shows a read-only token."""
    return Response(generate_latest(tools.metrics), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/health", tags=["overview"], response_model=Health, responses={503: {"model": Health, "description": "no broker"}}
)
def health(tools: ToolsOf) -> JSONResponse:
    """For a monitor: 200, or 503 while the broker does not answer."""
    try:
        tools.store.epoch()
        well = True
    except BrokerUnavailable:
        well = False
    return JSONResponse(Health(ok=well, version=relayq.__version__, broker=well).model_dump(), 200 if well else 503)
