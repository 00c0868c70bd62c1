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
@pass_app
def command(app: App, port: int | None, addresses: tuple[str, ...]) -> None:
    """Answer the machines that join: the installer, the wheel, tokens. Runs on the broker's machine until Ctrl-C.

    With the Tailscale address, the broker itself follows it too: when it changes, both listen there at once.
    """
    import asyncio

    from relayq.server.app import make_app
    from relayq.server.serve import LOOPBACK, BrokerBinding, Server
    from relayq.worker import logfile

    settings = app.settings
    url = administration(settings)
    logfile.set_up(settings.log_level, None)
    web = make_app(settings.home, url)
    if addresses:
        server = Server(web, port or settings.server_port, lambda: addresses)
    else:
        from relayq import tailnet

        def followed() -> list[str]:
            address = tailnet.look().address
            return [LOOPBACK, address] if address else [LOOPBACK]

        server = Server(web, port or settings.server_port, followed, BrokerBinding(url))
    asyncio.run(server.run())
