"""The API's workers: what there is, paused, resumed, drained, tried; and machines that are to join."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Request

from relayq import config_values, placement
from relayq.client import new_id, submit_served
from relayq.errors import BadSpec, NoSuchWorker
from relayq.monitoring import Machine, machine
from relayq.server.asked import NewMachine, Rest
from relayq.server.downloads import host_of
from relayq.server.jobs import JobRef
from relayq.server.tools import Tools, ToolsOf
from relayq.spec import make_spec
from relayq.store import NewJob
from relayq.store.enrolment import Enrolment

router = APIRouter(prefix="/api/v1", tags=["workers"])

Name = Annotated[str, Path(pattern=f"^{placement.NAME.pattern}$")]
TOKEN_SECONDS = 3600.0
TEST = "echo relayq test: $(uname -sm), $(date)"


@dataclass(frozen=True)
class Workers:
    """All known workers, by name."""

    now: float
    workers: tuple[Machine, ...]


@dataclass(frozen=True)
class Joining:
    """How a machine joins."""

    line: str  #: to paste into its terminal
    expires_at: float


@router.get("/workers")
def list_workers(tools: ToolsOf) -> Workers:
    """All of them."""
    now, found = tools.store.workers()
    beats = tools.store.heartbeats()
    return Workers(now, tuple(machine(worker, now, beats.get(worker.info.name, ())) for worker in found))


@router.get("/workers/{name}")
def look(name: Name, tools: ToolsOf) -> Machine:
    """One."""
    return _machine(tools, name)


@router.post("/workers/{name}/pause")
def pause(name: Name, asked: Rest, tools: ToolsOf) -> Machine:
    """Have it take nothing new; what runs there goes on."""
    tools.store.pause(name, seconds=asked.seconds, by="dashboard", note=asked.note)
    return _machine(tools, name)


@router.post("/workers/{name}/drain")
def drain(name: Name, tools: ToolsOf, asked: Rest | None = None) -> Machine:
    """The same for good, or to be switched off."""
    asked = asked or Rest.model_validate({})
    tools.store.pause(name, seconds=asked.seconds, draining=True, by="dashboard", note=asked.note)
    return _machine(tools, name)


@router.post("/workers/{name}/resume")
def resume(name: Name, tools: ToolsOf) -> Machine:
    """Let it take jobs again, also out of quarantine."""
    tools.store.resume(name)
    return _machine(tools, name)


@router.post("/workers/{name}/test", status_code=201)
def test(name: Name, tools: ToolsOf) -> JobRef:
    """Submit a small job for it."""
    _machine(tools, name)
    spec = make_spec(TEST, on=name, name=f"test of {name}", timeout=60.0, queue_timeout=300.0, priority=10)
    id = new_id()
    submit_served(tools.store, [NewJob(id=id, spec=spec, lane=placement.lane_for(spec))])
    return JobRef(id)


@router.post("/joining", status_code=201, tags=["joining"])
def join(asked: NewMachine, request: Request, tools: ToolsOf) -> Joining:
    """Make a token with which one machine may join within an hour."""
    try:
        name = None if asked.name is None else config_values.worker_name(asked.name)
        labels = config_values.labels(asked.labels or [])
    except ValueError as error:
        raise BadSpec(f"name or labels cannot be: {error}") from None
    enrolment = Enrolment(tools.doors.admin)
    token = enrolment.new_token(name=name, labels=labels, seconds=TOKEN_SECONDS)
    server = tools.settings.server_url or _found_at(request, tools)
    return Joining(f"curl -fsSL {server}/join | RELAYQ_TOKEN={token.secret} sh", token.expires_at)


def _machine(tools: Tools, name: str) -> Machine:
    now, found = tools.store.workers()
    worker = next((worker for worker in found if worker.info.name == name), None)
    if worker is None:
        raise NoSuchWorker(f'no worker is called "{name}". See: relayq workers')
    return machine(worker, now, tools.store.heartbeats().get(name, ()))


def _found_at(request: Request, tools: Tools) -> str:
    """Where the new machine finds us: at the Tailscale address, if there is one."""
    from relayq import tailnet

    address = tailnet.look().address
    return f"http://{address}:{tools.settings.server_port}" if address else f"http://{host_of(request)}"
