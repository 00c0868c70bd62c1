"""A 1.x client, unchanged but for the password in its URL, still gets its results (DESIGN section 6)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from relayq.model import State
from tests.conftest import as_admin, wait_until

from .conftest import Fleet
from .test_media import say

#: Exactly what a 1.x client is: a Celery application with Redis as broker and backend, and tasks known by name.
OLD_CLIENT = """
import json, sys
from celery import Celery
app = Celery("relayq", broker=sys.argv[1], backend=sys.argv[1])
app.conf.update(task_serializer="json", accept_content=["json"], result_serializer="json")
name, args, kwargs, options = json.loads(sys.argv[2])
handle = app.send_task(name, args=args, kwargs=kwargs, **options)
print(handle.id, flush=True)
try:
    print(json.dumps({"value": handle.get(timeout=20)}))
except Exception as error:
    print(json.dumps({"error": str(error), "module": type(error).__module__, "type": type(error).__name__}))
"""


def old_client(
    fleet: Fleet, tmp_path: Path, name: str, *args: Any, send: dict[str, Any] | None = None, **kwargs: Any
) -> subprocess.Popen[str]:
    script = tmp_path / "old_client.py"
    script.write_text(OLD_CLIENT)
    call = json.dumps([name, args, kwargs, send or {}])
    env = {k: v for k, v in os.environ.items() if not k.startswith("RELAYQ_")}
    return subprocess.Popen(
        [sys.executable, str(script), fleet.url, call], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
    )


def answer(client: subprocess.Popen[str]) -> tuple[str, dict[str, Any]]:
    out, _ = client.communicate(timeout=40)
    id, text = out.splitlines()
    return id, json.loads(text)


def test_run_command_answers_its_stdout(crew: Fleet, tmp_path: Path) -> None:
    """And is a job like any other, whose id derives from the task's."""
    id, said = answer(old_client(crew, tmp_path, "relayq.run_command", "echo old; pwd", cwd=str(tmp_path)))
    assert said == {"value": f"old\n{tmp_path}\n"}
    job = crew.client.get(f"celery-{id}").job()
    assert job.state is State.SUCCEEDED
    wait_until(lambda: not crew.client.store.replies_due(0))


def test_a_failed_command_raises_a_builtin_exception(crew: Fleet, tmp_path: Path) -> None:
    """A 1.x client has none of our classes."""
    _, said = answer(old_client(crew, tmp_path, "relayq.run_command", "echo oops >&2; exit 3"))
    assert (said["module"], said["type"]) == ("builtins", "RuntimeError")
    assert "exit code 3" in said["error"]
    assert "oops" in said["error"]


def test_an_empty_command_is_answered_too(crew: Fleet, tmp_path: Path) -> None:
    """A bad task is no reason to wait for ever."""
    _, said = answer(old_client(crew, tmp_path, "relayq.run_command", ""))
    assert said["module"] == "builtins"
    assert "empty" in said["error"]


@pytest.mark.parametrize(
    ("task", "args", "words"),
    [
        ("relayq.run_command", (), "run_command() missing 1 required positional argument: 'command'"),
        ("relayq.run_command", ("true", "/", "w", "x"), "run_command() takes from"),
        (
            "relayq.transcode_video",
            ("in.mov",),
            "transcode_video() missing 1 required positional argument: 'output_file'",
        ),
    ],
    ids=["nothing", "too much", "too little"],
)
def test_wrong_arguments_are_answered_as_in_1x(
    crew: Fleet, tmp_path: Path, task: str, args: tuple[str, ...], words: str
) -> None:
    """Python's own TypeError; a client that waits without a timeout would wait for ever."""
    _, said = answer(old_client(crew, tmp_path, task, *args))
    assert (said["module"], said["type"]) == ("builtins", "TypeError")
    assert words in said["error"]


def test_a_refusal_of_the_store_is_answered_too(crew: Fleet, tmp_path: Path) -> None:
    """Near the limit of its memory the broker takes no new jobs; a 1.x client is told so, in words it has."""
    with redis.Redis.from_url(as_admin(crew.url)) as broker:
        broker.setrange("ballast", 32 << 20, "x")  # beside it the buffers of connections, which come and go, are little
        broker.config_set("maxmemory", int(broker.info("memory")["used_memory"] / 0.92))
        try:
            wait_until(lambda: broker.exists("relayq:full"))
            _, said = answer(old_client(crew, tmp_path, "relayq.run_command", "true"))
        finally:
            broker.config_set("maxmemory", 0)
            broker.delete("ballast")
        wait_until(lambda: not broker.exists("relayq:full"))
    assert said["module"] == "builtins"
    assert "memory limit" in said["error"]


def test_the_worker_log_has_no_commands(crew: Fleet, tmp_path: Path) -> None:
    """Neither of tasks that are known nor of others: a command line may hold a password."""
    answer(old_client(crew, tmp_path, "relayq.run_command", "true --password=hunter2", routing_key="mac-mini"))
    answer(old_client(crew, tmp_path, "relayq.run_command", ["hunter2"], bad="hunter2"))
    client = old_client(crew, tmp_path, "relayq.no_such_task", "hunter2")
    assert client.stdout is not None
    client.stdout.readline()
    wait_until(lambda: "unregistered task" in crew.logs(), describe=crew.logs)
    client.kill()
    client.wait()
    assert "hunter2" not in crew.logs()


def test_routing_key_names_the_worker(crew: Fleet, tmp_path: Path) -> None:
    """1.x sent it, as a keyword of the task too; Redis ignored it. Now it is `on`."""
    clients = [
        old_client(crew, tmp_path, "relayq.run_command", "echo here", routing_key="rpi4-worker") for _ in range(2)
    ]
    for client in clients:
        id, said = answer(client)
        assert said == {"value": "here\n"}
        assert crew.client.get(f"celery-{id}").job().worker == "rpi4-worker"


def test_transcode_video_answers_status_and_output(crew: Fleet, tmp_path: Path) -> None:
    """With the options exactly as given, on a file name with spaces."""
    clip, output = tmp_path / "a clip.mkv", tmp_path / "the 'result'.mp4"
    made = crew.client.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=d=1:s=160x120:r=10", str(clip)], needs=["ffmpeg"]
    )
    assert made.result(timeout=30).state is State.SUCCEEDED
    _, said = answer(
        old_client(crew, tmp_path, "relayq.transcode_video", str(clip), str(output), options="-c:v libx264 -crf 35")
    )
    assert said == {"value": {"status": "success", "output": str(output)}}
    assert output.stat().st_size > 1000


def test_transcribe_audio_answers_the_text(crew: Fleet, tmp_path: Path) -> None:
    """And nothing but the text; a file that is not there is a builtin exception that names the machine."""
    talk = say(tmp_path / "a talk.wav")
    _, said = answer(old_client(crew, tmp_path, "relayq.transcribe_audio", str(talk), model="base"))
    assert {"three", "four", "five", "nine", "ten"} <= set(said["value"].split())
    assert said["value"] == said["value"].strip()
    _, said = answer(old_client(crew, tmp_path, "relayq.transcribe_audio", str(tmp_path / "no.wav")))
    assert (said["module"], said["type"]) == ("builtins", "RuntimeError")
    assert re.search(rf"no such file on (mac-mini|rpi4-worker): {tmp_path}/no\.wav", said["error"])


@pytest.mark.timeout(120)
def test_a_cancelled_old_job_is_answered_as_well(crew: Fleet, tmp_path: Path) -> None:
    """Found overdue by any worker: nobody ran it to its end."""
    client = old_client(crew, tmp_path, "relayq.run_command", "true", routing_key="no-such-worker")
    assert client.stdout is not None
    id = client.stdout.readline().strip()
    wait_until(lambda: crew.client.store.get([f"celery-{id}"])[0], describe=crew.logs)
    crew.client.get(f"celery-{id}").cancel()
    out, _ = client.communicate(timeout=40)
    assert "was cancelled" in json.loads(out)["error"]
