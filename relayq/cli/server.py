"""`relayq server`: what the broker's machine answers over HTTP."""

from __future__ import annotations

import click

from relayq.cli.context import App, administration, pass_app


@click.command("server")
@click.option("--port", type=click.IntRange(1, 65535), help="[default: server.port, else 7117]")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="ADDRESS",
    help="Where to listen, may be repeated. [default: loopback and the Tailscale address, which is followed]",
)
@click.option("--read-only", is_flag=True, help="Nothing can be changed through it.")
@pass_app
def command(app: App, port: int | None, addresses: tuple[str, ...], read_only: bool) -> None:
    """Serve the dashboard and the API, and let machines join. Runs on the broker's machine until Ctrl-C.

    Who wants to look signs in: `relayq dashboard` makes a link, `relayq token api` a token for programs.

    With the Tailscale address, the broker itself follows it too: when it changes, both listen there at once.
    """
    import asyncio

    from relayq.cli import local_server
    from relayq.errors import ConfigError

    if why_not := local_server.missing():
        raise ConfigError(why_not)
    from relayq.server.app import make_app
    from relayq.server.serve import LOOPBACK, BrokerBinding, Server
    from relayq.worker import logfile

    settings = app.settings
    url = administration(settings)
    logfile.set_up(settings.log_level, None)
    web = make_app(settings, url, read_only=read_only)
    if addresses:
        server = Server(web, port or settings.server_port, lambda: addresses, stopping=web.state.tools.live.end)
    else:
        from relayq import tailnet

        def followed() -> list[str]:
            address = tailnet.look().address
            return [LOOPBACK, address] if address else [LOOPBACK]

        binding = BrokerBinding(url)
        server = Server(web, port or settings.server_port, followed, binding, stopping=web.state.tools.live.end)
    with web.state.tools:
        asyncio.run(server.run())
