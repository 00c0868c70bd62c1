"""The first token for the dashboard of a new broker: made once, shown once."""

from __future__ import annotations

from contextlib import closing

from relayq import tailnet
from relayq.effects import Effects
from relayq.store.access import Access, Scope
from relayq.store.admin import Admin

NAME = "owner"


def show(admin_url: str, server_port: int, effects: Effects) -> None:
    """Say where the dashboard is, and if nobody has a token yet, make the first. Raises BrokerUnavailable."""
    where = f"http://{tailnet.look().address or '127.0.0.1'}:{server_port}"
    if effects.dry_run:
        effects.say(f"  would make a token for the dashboard ({where})")
        return
    with closing(Admin(admin_url)) as admin:
        access = Access(admin)
        token = None if access.tokens() else access.new_token(NAME, Scope.FULL)
    if token is None:
        effects.say(f"the dashboard: {where}; a link that signs in: relayq dashboard")
    else:
        effects.say(f"the dashboard: {where}; sign in with the token {token.secret}")
        effects.say("(it is not shown again; a link that signs in without it: relayq dashboard)")
