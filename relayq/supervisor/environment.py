"""The environment a job sees: its worker's without relayq's secrets, plus its own and its name."""

_PREFIX = "RELAYQ_"
_SECRET_WORDS = ("BROKER", "PASSWORD", "TOKEN", "SECRET", "CREDENTIAL", "URL", "AUTH")

JOB_ID = "RELAYQ_JOB_ID"
ATTEMPT = "RELAYQ_ATTEMPT"
MARK = "RELAYQ_MARK"  #: home and key: how processes that left their group are found


def without_secrets(env: dict[str, str]) -> dict[str, str]:
    """`env` without the RELAYQ_* variables that could open the broker to a job."""
    return {
        name: value
        for name, value in env.items()
        if not (name.upper().startswith(_PREFIX) and any(word in name.upper() for word in _SECRET_WORDS))
    }


def mark_of(home_id: str, key: str) -> str:
    """What the processes of one attempt carry. Another home's must not be taken for ours."""
    return f"{home_id}:{key}"


def job_environment(base: dict[str, str], own: dict[str, str | None], key: str, home_id: str) -> dict[str, str]:
    """The environment of one attempt. A value of None in `own` removes a variable."""
    env = dict(base)
    for name, value in own.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    env[JOB_ID], env[ATTEMPT] = key.split("/")[:2]
    env[MARK] = mark_of(home_id, key)
    return env
