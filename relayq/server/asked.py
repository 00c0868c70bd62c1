"""What may be sent to the API, as models: they are the request bodies of its OpenAPI document."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from relayq.errors import BadSpec
from relayq.model import JobSpec
from relayq.spec import make_spec


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be text: it has halves of characters in it") from None
    return value


Text = Annotated[str, AfterValidator(_text)]
Seconds = Annotated[float, Field(ge=0, lt=1e10)]


class NewJob(BaseModel):
    """A job to submit: one of command, argv and script, or the params of another kind; times are seconds."""

    model_config = ConfigDict(extra="forbid")

    command: str | None = Field(None, description="a text for /bin/sh -c")
    argv: list[str] | None = Field(None, description="the exact words instead")
    script: str | None = Field(None, description="a program text instead, run by its #! line or /bin/sh")
    kind: str = Field("command", description="command, or a kind that takes params")
    params: dict[str, Any] | None = None
    on: str | None = Field(None, description="the one worker that may run it")
    needs: list[str] | None = Field(None, description="labels and capabilities its worker must have")
    prefer: list[str] | None = None
    cwd: str | None = Field(None, description="a folder on the worker")
    env: dict[str, str] | None = None
    stdin: str | None = Field(None, description="text for its standard input")
    stdin_base64: str | None = Field(None, description="bytes for its standard input")
    name: str | None = Field(None, description="shown instead of the command")
    timeout: Seconds | None = None
    queue_timeout: Seconds | None = None
    retries: int | None = None
    retry_delay: Seconds | None = None
    priority: int | None = Field(None, description="-10 … 10, higher first")
    on_lost: str | None = Field(None, description="requeue, wait or fail")
    freeze: bool | None = None
    max_losses: int | None = None
    max_output_bytes: int | None = None
    kill_grace: Seconds | None = None
    queue_anyway: bool = Field(False, description="take it though no known worker may run it")
    id: str | None = Field(None, description="the same id again is the same job")

    def spec(self) -> JobSpec:
        """As `relayq.spec` makes it. Raises BadSpec."""
        if self.command is not None and self.argv is not None:
            raise BadSpec("give a command or its argv, not both")
        given = self.model_dump(exclude={"command", "argv", "queue_anyway", "id", "stdin_base64"})
        if self.stdin_base64 is not None:
            given["stdin"] = _bytes(self.stdin_base64)
        return make_spec(self.argv if self.argv is not None else self.command, **given)


class Rest(BaseModel):
    """For how long a worker is to take nothing new, and why."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    seconds: Annotated[float, Field(gt=0, lt=1e10)] | None = Field(
        None, alias="for", description="seconds; null: until it is resumed"
    )
    note: Text | None = Field(None, max_length=500)


class NewMachine(BaseModel):
    """A machine that is to join."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, description="what it is to be called; null: as it calls itself")
    labels: list[str] | None = None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadSpec("stdin_base64 is no base64") from None
