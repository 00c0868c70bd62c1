"""The installers and the wheel, so that a machine installs exactly the broker's version from the broker itself."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response

import relayq

_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")


class Downloads:
    """Files of the folder with the one wheel, and the scripts of the package."""

    def __init__(self, wheels: Path) -> None:
        self._wheels = wheels

    def version(self, _request: Request) -> Response:
        """The version, and which wheel to install."""
        wheel = self._wheel()
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest() if wheel else None
        return JSONResponse({"version": relayq.__version__, "wheel": wheel.name if wheel else None, "sha256": digest})

    def wheel(self, request: Request) -> Response:
        """The wheel."""
        wheel = self._wheel()
        if wheel is None or wheel.name != request.path_params["name"]:
            raise HTTPException(404, "there is no such wheel here; /version names the one there is")
        return FileResponse(wheel, media_type="application/octet-stream")

    def join(self, request: Request) -> Response:
        """The worker's installer, which knows where it came from."""
        return _script("install-worker.sh", request)

    def join_pi(self, request: Request) -> Response:
        """The Raspberry Pi's."""
        return _script("install-worker-rpi.sh", request)

    def _wheel(self) -> Path | None:
        return next(iter(sorted(self._wheels.glob("*.whl"), key=lambda path: path.stat().st_mtime, reverse=True)), None)


def host_of(request: Request) -> str:
    """Under which name we were found; it is put into shell commands."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise HTTPException(400, "the request names no host")
    return host


def _script(name: str, request: Request) -> Response:
    host = host_of(request)
    first, _, rest = _text(name).partition("\n")
    # An assignment only: what a broken download leaves does nothing.
    text = f': "${{RELAYQ_SERVER:=http://{host}}}"; export RELAYQ_SERVER'
    return PlainTextResponse(f"{first}\n{text}\n{rest}", headers={"Cache-Control": "no-store"})


def _text(name: str) -> str:
    """A script: in the package, or at the root of a checkout."""
    here = Path(__file__).parent
    for folder in (here, here.parent.parent):
        if (folder / name).is_file():
            return (folder / name).read_text("utf-8")
    raise HTTPException(404, f"this installation has no {name}")
