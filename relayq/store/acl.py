"""Who may do what at the broker, as Redis' access rules. Pure; `admin` applies them.

Commands are named by categories: a sub-command that a Redis does not know would keep it from starting. Scripts run with
the rights of whoever calls them, so that a worker's rights are those of all scripts. They keep a machine to relayq's
keys and from administering Redis; they do not protect jobs from a machine that has joined and means harm.
"""

from __future__ import annotations

from typing import Literal

ADMIN = "admin"
SUBMITTER = "submitter"
WORKER_PREFIX = "worker-"

Role = Literal["admin", "submitter", "worker"]

#: Nobody can be the default user. But Redis 7.0 replays transactions and scripts from its append-only file with that
#: user's rights: without them it would forget them all, and say so only in its log.
NOBODY = "user default reset off ~* &* +@all"

_COMMANDS = "-@all +@read +@write +@connection +@transaction +@scripting +@pubsub -@dangerous -@admin +time +info"
#: What the store keeps; what rings a worker; where 1.x clients put their tasks and look for results; kombu's own.
_KEYS = "~relayq:* ~relayq.ring.* ~celery* ~_kombu.* ~*.celery.pidbox*"
#: For PSUBSCRIBE, which kombu uses, a pattern must be allowed by its very letters.
_CHANNELS = "resetchannels &/0.celery.pidbox &/0.* &celery-task-meta-*"


def worker_user(name: str) -> str:
    """The user of the machine whose worker is called so."""
    return f"{WORKER_PREFIX}{name}"


def rules(role: Role) -> list[str]:
    """What a role may, as ACL SETUSER takes it (without the password)."""
    if role == "admin":
        return ["~*", "&*", "+@all"]
    return [*_CHANNELS.split(), *_KEYS.split(), *_COMMANDS.split()]


def line(user: str, role: Role, password_sha256: str) -> str:
    """A user, as a line of an ACL file."""
    return f"user {user} reset on #{password_sha256} {' '.join(rules(role))}"


def file_text(admin_sha256: str, submitter_sha256: str) -> str:
    """The ACL file of a new broker. Redis writes it anew when machines join (ACL SAVE)."""
    lines = [
        NOBODY,
        line(ADMIN, "admin", admin_sha256),
        line(SUBMITTER, "submitter", submitter_sha256),
    ]
    return "\n".join(lines) + "\n"
