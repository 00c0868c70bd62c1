"""The passwords of the broker's administrator and of those who submit: made once, kept in files for their readers."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

from relayq.store import acl

RANDOM_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may, and how they say it. Never shown."""

    admin: str
    submitter: str

    def url(self, user: str, port: int, host: str = "127.0.0.1") -> str:
        """The broker's URL for `admin` or `submitter`."""
        return f"redis://{user}:{self.admin if user == acl.ADMIN else self.submitter}@{host}:{port}/0"

    def acl_text(self) -> str:
        """The ACL file of a new broker."""
        return acl.file_text(_sha256(self.admin), _sha256(self.submitter))


def new() -> Access:
    """Passwords that nobody guesses, in letters that a URL takes as they are."""
    return Access(admin=secrets.token_urlsafe(RANDOM_BYTES), submitter=secrets.token_urlsafe(RANDOM_BYTES))


def kept(config: Path) -> Access | None:
    """The passwords of an earlier run, from the broker's own config.yml."""
    try:
        broker = (yaml.safe_load(config.read_text("utf-8")) or {})["broker"]
        admin, submitter = (urlsplit(broker[key]).password for key in ("admin_url", "url"))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
    return Access(admin=unquote(admin), submitter=unquote(submitter)) if admin and submitter else None


def refreshed_acl(text: str, access: Access) -> str:
    """An ACL file that Redis has written since, with today's passwords and today's rules for every role."""
    ours = {line.split()[1]: line for line in access.acl_text().splitlines()}
    others = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "user" or words[1] in ours:
            continue
        sha = re.search(r"#([0-9a-f]{64})\b", line)
        known = words[1].startswith(acl.WORKER_PREFIX) and sha and "on" in words
        others.append(acl.line(words[1], "worker", sha[1]) if known and sha else line)
    return "\n".join([*ours.values(), *others]) + "\n"


def rules_sha256(access: Access) -> str:
    """Changes when a password or a role's rules do."""
    return _sha256(access.acl_text() + " ".join(acl.rules("worker")))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
