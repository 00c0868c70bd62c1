"""`relayq dashboard`: the pages, in a browser."""

from __future__ import annotations

import click

from relayq.cli.context import App, administration, pass_app
from relayq.cli.options import json_option


@click.command("dashboard")
@click.option("--read-only", is_flag=True, help="The link lets its user look, and change nothing.")
@click.option("--print", "only_print", is_flag=True, help="Print the link; open no browser.")
@json_option
@pass_app
def command(app: App, read_only: bool, only_print: bool, as_json: bool) -> None:
    """Open the dashboard with a link that signs in once, within five minutes; where there is no browser, print it.

    On the broker's machine. Elsewhere, open the printed link: it names the Tailscale address, if there is one.
    --json prints {"url", "expires_in"}, and opens nothing.
    """
    from contextlib import closing

    from relayq.cli import server_at
    from relayq.cli.screen import message, say, say_json
    from relayq.store.access import CODE_SECONDS, Access, Scope
    from relayq.store.admin import Admin

    with closing(Admin(administration(app.settings))) as admin:
        code = Access(admin).new_code(Scope.READ if read_only else Scope.FULL)
    here = server_at.local(app.settings)
    url = f"{server_at.address(app.settings)}/login?code={code}"
    if as_json:
        say_json({"url": url, "expires_in": CODE_SECONDS})
        return
    if not server_at.answers(here):
        message(f"no server answers at {here} yet. Start it with: relayq up, or relayq server")
    if not only_print and server_at.open_browser(f"{here}/login?code={code}"):
        message("the dashboard opens in the browser")
        return
    message("open this within 5 minutes; it works once:")
    say(url)
