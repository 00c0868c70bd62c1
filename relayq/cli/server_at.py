"""Where the server of this machine answers, for people and for programs."""

from __future__ import annotations

import os
import platform
import shutil
import urllib.error
import urllib.request

from relayq.config import Settings


def local(settings: Settings) -> str:
    """Its URL on this machine."""
    from relayq.cli import local_server

    started = local_server.running(settings.home.absolute())
    if started is not None:
        return started.url
    return f"http://127.0.0.1:{settings.server_port}"


def address(settings: Settings) -> str:
    """Its URL for others: configured, else the Tailscale address, else this machine only."""
    if settings.server_url:
        return settings.server_url
    from relayq import tailnet
    from relayq.cli import local_server

    if local_server.running(settings.home.absolute()) is not None:  # it listens on loopback only
        return local(settings)
    host = tailnet.look().address
    return f"http://{host}:{settings.server_port}" if host else local(settings)


def for_joining(settings: Settings) -> str:
    """The same for a machine that is to join: one that nobody else can reach is named as such."""
    where = address(settings)
    return where if where != local(settings) else f"http://BROKER:{settings.server_port}"


def answers(url: str) -> bool:
    """Whether a server of ours is there."""
    try:
        with urllib.request.urlopen(f"{url}/echo", timeout=1.0) as answer:  # noqa: S310 (our own address)
            return b'"relayq":true' in answer.read(1000)
    except (OSError, ValueError):
        return False


def open_browser(url: str) -> bool:
    """Show a page, if somebody sits at this machine's screen."""
    if os.environ.get("SSH_CONNECTION") or not _has_screen():
        return False
    import webbrowser

    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False


def _has_screen() -> bool:
    if platform.system() == "Darwin":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and bool(shutil.which("xdg-open"))
