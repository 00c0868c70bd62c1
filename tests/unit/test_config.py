"""What this machine was told, from each of its sources, and what is said of a mistake."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relayq import config, config_values
from relayq.errors import BadSpec, ConfigError

ONE_X = """\
broker: {host: 100.103.45.61, port: 6379, db: 0}
worker: {name: rpi4-worker, priority: low, max_concurrent: 4, cpu_threshold: 85}
logging: {level: INFO, file: ~/.relayq/worker.log}
"""


@pytest.fixture
def load(tmp_path):
    """`load(yaml_text, **environment)` in a home of its own."""

    def load_with(text: str | None = None, **environment: str) -> config.Settings:
        if text is not None:
            (tmp_path / "config.yml").write_text(text)
        return config.load({"RELAYQ_HOME": str(tmp_path), "HOME": "/home/ann", **environment})

    return load_with


def refusal(load, text: str | None = None, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, **environment)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_file_and_environment_there_are_defaults(load, tmp_path):
    """A new machine works with what it is: its host's name, its processors, no broker yet."""
    found = load()
    assert found.home == tmp_path
    assert found.broker_url is None
    assert found.broker_source == "nowhere"
    assert found.slots >= 1
    assert config.valid_name(found.worker_name) == found.worker_name
    assert (found.submit_patience, found.lease_floor, found.keep) == (30.0, 15.0, 604800.0)
    assert (found.output_budget_bytes, found.log_level, found.log_file) == (268435456, "INFO", None)
    assert (found.labels, found.nice, found.cpu_threshold) == ((), None, None)


def test_home_is_in_the_users_home_by_default():
    """RELAYQ_HOME is ~/.relayq unless set, with the HOME of the environment that was given."""
    assert config.load({"HOME": "/nonexistent/ann"}).home == Path("/nonexistent/ann/.relayq")
    assert config.load({"HOME": "/nonexistent", "RELAYQ_HOME": "~/q"}).home == Path("/nonexistent/q")


def test_relative_home_is_made_absolute(tmp_path, monkeypatch):
    """Detached processes work in other folders: a home must mean the same there."""
    monkeypatch.chdir(tmp_path)
    assert config.load({"RELAYQ_HOME": "q"}).home == tmp_path / "q"


def test_one_x_file_loads(load):
    """The config.yml of a 1.x Raspberry Pi means the same as ever."""
    found = load(ONE_X)
    assert found.broker_url == "redis://100.103.45.61:6379/0"
    assert (found.worker_name, found.slots, found.cpu_threshold) == ("rpi4-worker", 4, 85.0)
    assert (found.nice, found.labels) == (10, ("light",))
    assert (found.log_level, found.log_file) == ("INFO", Path("/home/ann/.relayq/worker.log"))


@pytest.mark.parametrize(
    ("priority", "nice", "labels"), [("low", 10, ("light",)), ("normal", None, ()), ("high", None, ("heavy",))]
)
def test_priority_of_one_x_becomes_nice_and_a_label(load, priority, nice, labels):
    """1.x called a worker low or high; today that is how it gives way and what it offers."""
    found = load(f"worker: {{priority: {priority}}}")
    assert (found.nice, found.labels) == (nice, labels)


def test_explicit_nice_and_labels_go_with_priority(load):
    """What is said outright wins over what priority implies; labels add up."""
    found = load("worker: {priority: low, nice: 3, labels: [attic, light]}")
    assert (found.nice, found.labels) == (3, ("attic", "light"))


def test_environment_wins_over_file(load):
    """A variable replaces the file's value whole, labels included."""
    found = load(
        ONE_X,
        RELAYQ_BROKER_URL="redis://:pw@nas:7000/1",
        RELAYQ_WORKER_NAME="attic",
        RELAYQ_SLOTS="9",
        RELAYQ_LABELS="a, b,,a",
        RELAYQ_NICE="-5",
        RELAYQ_LOG_FILE="w.log",
    )
    assert found.broker_url == "redis://:pw@nas:7000/1"
    assert (found.worker_name, found.slots, found.labels, found.nice) == ("attic", 9, ("a", "b"), -5)
    assert found.log_file == found.home / "w.log"


def test_every_field_has_its_variable(load):
    """RELAYQ_ and the field's name in capitals: nothing to look up, and no field without one."""
    values = {
        "RELAYQ_BROKER_URL": "unix:///run/redis.sock?db=1",
        "RELAYQ_ADMIN_URL": "redis://admin:x@a",
        "RELAYQ_SERVER_URL": "http://100.64.0.1:7117/",
        "RELAYQ_SERVER_PORT": "80",
        "RELAYQ_WORKER_NAME": "n",
        "RELAYQ_SLOTS": "3",
        "RELAYQ_LABELS": "x",
        "RELAYQ_CPU_THRESHOLD": "12.5",
        "RELAYQ_NICE": "1",
        "RELAYQ_SUBMIT_PATIENCE": "2m",
        "RELAYQ_LEASE_FLOOR": "500ms",
        "RELAYQ_KEEP": "1d12h",
        "RELAYQ_OUTPUT_BUDGET_BYTES": "1G",
        "RELAYQ_PROGRAMS": "blender, sox",
        "RELAYQ_ROUTES": "render*=blender+heavy+memory>=8G; ffmpeg=",
        "RELAYQ_LOG_LEVEL": "debug",
        "RELAYQ_LOG_FILE": "/var/log/q",
    }
    assert {setting.variable for setting in config.SETTINGS} == set(values)
    found = load(**values)
    fields = {name for name in config.Settings.__dataclass_fields__ if name not in {"home", "sources"}}
    assert fields == {setting.field for setting in config.SETTINGS}
    assert {name: getattr(found, name) for name in fields} == {
        "broker_url": "unix:///run/redis.sock?db=1",
        "admin_url": "redis://admin:x@a",
        "server_url": "http://100.64.0.1:7117",
        "server_port": 80,
        "worker_name": "n",
        "slots": 3,
        "labels": ("x",),
        "programs": ("blender", "sox"),
        "routes": {"render*": ("blender", "heavy", "memory>=8G"), "ffmpeg": ()},
        "cpu_threshold": 12.5,
        "nice": 1,
        "submit_patience": 120.0,
        "lease_floor": 0.5,
        "keep": 129600.0,
        "output_budget_bytes": 1 << 30,
        "log_level": "DEBUG",
        "log_file": Path("/var/log/q"),
    }


def test_routes_are_a_group_of_ones_own_keys(load):
    """Of the file; a single word needs no list, nothing takes a shipped rule away."""
    found = load("routes:\n  'blender*': [blender, heavy]\n  make: heavy\n  ffmpeg:\n  whisper: []\n")
    assert found.routes == {"blender*": ("blender", "heavy"), "make": ("heavy",), "ffmpeg": (), "whisper": ()}
    shown = {key: value for key, value, _ in config.rows(found)}["routes"]
    assert load(RELAYQ_ROUTES=shown).routes == found.routes
    assert refusal(load, RELAYQ_ROUTES="ffmpeg").startswith("RELAYQ_ROUTES is 'ffmpeg'")


def test_empty_variable_counts_as_not_set(load):
    """An EnvironmentFile with `RELAYQ_SLOTS=` must not stop a worker."""
    assert load("worker: {max_concurrent: 4}", RELAYQ_SLOTS="", RELAYQ_LABELS=" ").slots == 4


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("broker: {host: nas}", "redis://nas:6379/0"),
        ("broker: {port: 7001}", "redis://127.0.0.1:7001/0"),
        ("broker: {host: nas, password: 'a/b@c:d#'}", "redis://:a%2Fb%40c%3Ad%23@nas:6379/0"),
        ("broker: {host: nas, username: u, password: p, db: 3}", "redis://u:p@nas:6379/3"),
        ("broker: {host: nas, username: u}", "redis://u@nas:6379/0"),
        ("broker: {host: '::1'}", "redis://[::1]:6379/0"),
        ("broker: {url: 'rediss://nas:6380'}", "rediss://nas:6380"),
        ("broker:", None),
        ("", None),
        ("# nothing but this\n", None),
    ],
)
def test_broker_url_is_made_of_its_parts(load, text, url):
    """Host and password may be written apart; the password needs no encoding there."""
    assert load(text).broker_url == url


def test_composed_url_is_read_by_redis_as_it_was_meant(load):
    """The encoding of a strange password is the one redis-py undoes."""
    redis = pytest.importorskip("redis")
    url = load("broker: {host: nas, username: 'an n', password: 'a/b@c:d#%41?'}").broker_url
    options = redis.ConnectionPool.from_url(url).connection_kwargs
    assert (options["username"], options["password"], options["host"]) == ("an n", "a/b@c:d#%41?", "nas")


def test_broker_comes_from_environment_then_file_then_the_started_one(load, tmp_path):
    """The order in which the broker is looked for, and that one can ask where it came from."""
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "url").write_text("redis://:c@127.0.0.1:20001/0\n")
    found = load()
    assert found.broker_url == "redis://:c@127.0.0.1:20001/0"
    assert "relayq up" in found.broker_source
    found = load("broker: {host: nas}")
    assert found.broker_url == "redis://nas:6379/0"
    assert found.broker_source == f"{tmp_path / 'config.yml'} (broker.host)"
    found = load(RELAYQ_BROKER_URL="redis://vm:1/0")
    assert (found.broker_url, found.broker_source) == ("redis://vm:1/0", "RELAYQ_BROKER_URL")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("worker: {nmae: x}", ['"worker.nmae"', 'did you mean "worker.name"?']),
        ("wroker: {name: x}", ['"wroker"', 'did you mean "worker"?']),
        ("worker: {host: x}", ['"worker.host"', 'did you mean "broker.host"?']),
        ("logging: {levle: INFO}", ['did you mean "logging.level"?']),
        ("worker: {on: x}", ['"worker.True"']),
        ("worker: {zzzzzzzz: x}", ["there are: worker.name, "]),
        ("worker: {slots: 2, max_concurrent: 2}", ["worker.slots and worker.max_concurrent", "keep one"]),
        ("broker: {url: 'redis://a', host: b}", ["broker.url and broker.host", "keep one"]),
        ("broker: {url: 'redis://a', password: b}", ["broker.url says it all", "broker.password"]),
        ("broker: {admin_url: 'redis://'}", ["broker.admin_url is not right"]),
        ("server: {url: 'ftp://a'}", ["server.url is 'ftp://a'", "http://"]),
        ("worker: [a, b]", ["worker is a list", "group of keys"]),
        ("just words", ["must hold the groups broker, server, worker, routes, jobs, logging"]),
        ("worker:\n  name: [\nbroker: x", ["line 3", "is not valid YAML"]),
        ("worker: {name: !!python/object:os.system x}", ["line 1", "is not valid YAML"]),
        ("worker: {name: 2020-13-45}", ["is not valid YAML"]),
    ],
)
def test_mistake_in_the_file_is_named_with_its_place(load, tmp_path, text, words):
    """One sentence says the file, the key, and what was probably meant."""
    message = refusal(load, text)
    assert str(tmp_path / "config.yml") in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("worker: {max_concurrent: four}", ["worker.max_concurrent is 'four'", "whole number"]),
        ("worker: {max_concurrent: 0}", ["is 0"]),
        ("worker: {max_concurrent: 1.5}", ["is 1.5"]),
        ("worker: {max_concurrent: true}", ["is True"]),
        ("worker: {name: on}", ["worker.name is True", "quotes"]),
        ("worker: {name: '.a'}", ["worker.name is '.a'", "1 to 64 letters"]),
        ("worker: {labels: {a: b}}", ["worker.labels is a dict", "list of labels"]),
        ("worker: {labels: [a+b]}", ["worker.labels is a list"]),
        ("worker: {priority: urgent}", ["one of low, normal, high"]),
        ("worker: {cpu_threshold: 101}", ["percent"]),
        ("worker: {cpu_threshold: .nan}", ["percent"]),
        ("worker: {nice: 20}", ["-20 to 19"]),
        ("broker: {port: 70000}", ["broker.port is 70000", "1 to 65535"]),
        ("broker: {host: 'http://x'}", ["broker.host", "broker.url"]),
        ("jobs: {keep: forever}", ["jobs.keep is 'forever'", "a duration"]),
        ("jobs: {keep: -1}", ["a duration"]),
        ("jobs: {lease_floor: 0}", ["above 0"]),
        ("jobs: {output_budget: 3 bananas}", ["a size"]),
        ("logging: {level: LOUD}", ["DEBUG, INFO"]),
        ("routes: [ffmpeg]", ["routes is a list", "patterns of commands"]),
        ("routes: {ffmpeg: [a b]}", ["routes is a dict", "patterns of commands"]),
        ("routes: {ffmpeg: {heavy: 1}}", ["patterns of commands"]),
        ("routes: {1: [heavy]}", ["patterns of commands"]),
    ],
)
def test_value_of_the_wrong_kind_is_named_with_what_is_expected(load, text, words):
    """What was given and what is taken, in one sentence."""
    message = refusal(load, text)
    for word in words:
        assert word in message


def test_wrong_variable_is_named(load):
    """The sentence for the environment names the variable, not a key of the file."""
    assert refusal(load, RELAYQ_SLOTS="many").startswith("RELAYQ_SLOTS is 'many'; it must be a whole number")


@pytest.mark.parametrize(
    "url",
    [
        "nas:6379",
        "http://:hush@nas",
        "redis://:hu/sh@nas:6379/0",
        "redis://hu:12/sh@nas",
        "redis://:hush@nas:port/0",
        "redis://",
        "unix://",
        "redis://:hush@n as:1/0",
        "redis://:hush@[::1/0",
    ],
)
def test_url_that_cannot_be_one_is_refused_without_showing_it(load, url):
    """An error may end in a log: the password in a URL must not."""
    for message in (refusal(load, RELAYQ_BROKER_URL=url), refusal(load, f"broker: {{url: '{url}'}}")):
        assert "redis://:PASSWORD@HOST:6379/0" in message
        assert "sh@" not in message


@pytest.mark.parametrize("text", ["broker: 'redis://:hush@nas:1/0'", "broker: {host: 'redis://:hush@nas:1/0'}"])
def test_url_in_the_wrong_place_does_not_show_its_password(load, text):
    """A whole URL where a host or a group belongs is a likely slip."""
    message = refusal(load, text)
    assert "***@nas" in message
    assert "hush" not in message


def test_password_that_is_no_text_is_refused_without_showing_it(load):
    """A password of digits needs quotes in YAML; the sentence says so and not the password."""
    message = refusal(load, "broker: {host: nas, password: 271828}")
    assert "broker.password" in message
    assert "quotes" in message
    assert "271828" not in message


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"RELAYQ_HOME": "/tmp/x/\udcff"}, "RELAYQ_HOME is '/tmp/x/\\udcff', which is not text in UTF-8"),
        ({"RELAYQ_HOME": "", "HOME": "/home/\udcff"}, "RELAYQ_HOME is '/home/\\udcff/.relayq', which is not text"),
        ({"RELAYQ_LOG_FILE": "/tmp/\udcff"}, "RELAYQ_LOG_FILE is not text in UTF-8"),
        ({"RELAYQ_BROKER_URL": "redis://\udcff"}, "RELAYQ_BROKER_URL is not text in UTF-8"),
    ],
)
def test_bytes_that_are_no_text_are_a_sentence(load, environment: dict[str, str], words: str):
    """Paths and variables are bytes; ours stand in logs and messages, which are text."""
    assert words in refusal(load, **environment)


def test_a_relative_home_in_a_folder_that_is_no_text_is_a_sentence(load, tmp_path, monkeypatch):
    """The whole path counts, not what was said of it."""
    folder = tmp_path / "\udcff"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert "which is not text in UTF-8" in refusal(load, RELAYQ_HOME="home")


def test_file_that_cannot_be_read_is_a_sentence(load, tmp_path):
    """A folder in the file's place, or bytes that are no text, end in a sentence and not in a traceback."""
    (tmp_path / "config.yml").mkdir()
    assert "cannot read" in refusal(load)
    (tmp_path / "config.yml").rmdir()
    (tmp_path / "config.yml").write_bytes(b"worker: {name: \xff}")
    assert "UTF-8" in refusal(load)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60) | st.from_regex(r"(worker|broker|jobs): \{[a-z_]{1,9}: [^}\n]{0,12}\}", fullmatch=True))
@example("worker: {name: 1__}")
@example("[" * 5000)
def test_no_file_content_causes_anything_but_a_config_error(tmp_path, text):
    """Whatever stands in the file, there are settings or a sentence."""
    (tmp_path / "config.yml").write_text(text, encoding="utf-8", errors="replace")
    message = "config.yml"
    try:
        config.load({"RELAYQ_HOME": str(tmp_path)})
    except ConfigError as error:
        message = str(error)
    assert "config.yml" in message


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://:secret@nas:6379/0", "redis://:***@nas:6379/0"),
        ("redis://user:secret@nas", "redis://user:***@nas"),
        ("rediss://user@nas", "rediss://user@nas"),
        ("redis://nas:6379/0", "redis://nas:6379/0"),
        ("redis://:sec@ret@nas", "redis://:***@nas"),
        ("redis://:sec/ret@nas", "redis://:***@nas"),
        ("unix://:secret@/run/redis.sock?db=1", "unix://:***@/run/redis.sock?db=1"),
        ("redis://nas/0?password=secret&db=1", "redis://nas/0?password=***&db=1"),
        (":secret@nas", ":***@nas"),
    ],
)
def test_mask_hides_the_password_and_nothing_else(url, masked):
    """A masked URL still says which broker it is."""
    assert config.mask(url) == masked


def test_settings_do_not_show_the_password_when_printed(load):
    """A repr ends in logs and tracebacks."""
    assert "hush" not in repr(load(RELAYQ_BROKER_URL="redis://:hush@nas:1/0"))


@pytest.mark.parametrize("name", ["a", "mac-mini", "_x", "9.Z", "a" * 64])
def test_valid_names(name):
    """What workers may be called."""
    assert config.valid_name(name) == name


@pytest.mark.parametrize("name", ["", ".a", "-a", "a b", "a/b", "é", "a" * 65, "a\n"])
def test_invalid_names_are_refused_in_the_callers_tree(name):
    """The same rule serves settings and job specs, each with its own error."""
    with pytest.raises(ConfigError, match="letters, digits"):
        config.valid_name(name)
    with pytest.raises(BadSpec, match="cannot be a target"):
        config.valid_name(name, "a target", BadSpec)


def test_rows_list_every_setting_with_its_source(load, tmp_path):
    """`relayq config show`: dotted names, values that could be written back, and where each came from."""
    found = load(ONE_X, RELAYQ_BROKER_URL="redis://:hush@nas:1/0", RELAYQ_KEEP="36h")
    rows = {key: (value, source) for key, value, source in config.rows(found)}
    file = tmp_path / "config.yml"
    assert list(rows) == ["home", *(setting.key for setting in config.SETTINGS)]
    assert rows["home"] == (str(tmp_path), "RELAYQ_HOME")
    assert rows["broker.url"] == ("redis://:***@nas:1/0", "RELAYQ_BROKER_URL")
    assert rows["worker.labels"] == ("light", f"{file} (worker.priority)")
    assert rows["worker.max_concurrent"] == ("4", f"{file} (worker.max_concurrent)")
    assert rows["jobs.keep"] == ("36h", "RELAYQ_KEEP")
    assert rows["jobs.output_budget"] == ("256M", "default")
    assert rows["worker.cpu_threshold"][0] == "85"
    assert ("broker.url", "redis://:hush@nas:1/0", "RELAYQ_BROKER_URL") in config.rows(found, secrets=True)
    assert {key: value for key, value, _ in config.rows(config.Settings(home=tmp_path))}["logging.file"] == "not set"


@given(st.integers(0, 10**9), st.integers(0, 1 << 50))
def test_durations_and_sizes_are_read_as_they_are_written(milliseconds, size):
    """What `config show` prints can be put into the file."""
    assert config_values.duration(config_values.in_time(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)
    assert config_values.size(config_values.in_bytes(size)) == size


@pytest.mark.parametrize(
    ("host", "name"),
    [("mac-mini.local", "mac-mini"), ("Ann's Mac", "Ann-s-Mac"), ("-.x", "worker"), ("日本", "worker"), ("", "worker")],
)
def test_host_name_becomes_a_valid_worker_name(monkeypatch, host, name):
    """Hosts are called what people like; workers are not."""
    monkeypatch.setattr(config.os, "uname", type("Uname", (), {"nodename": host}))
    assert config.Settings(home=Path("/")).worker_name == name


def test_import_is_light():
    """Settings are read by every command: neither YAML nor a client is loaded for them."""
    program = (
        "import sys, relayq.config as c; c.load({'RELAYQ_HOME': '/nonexistent'});"
        "print([m for m in ('yaml', 'redis', 'celery', 'kombu', 'socket', 'difflib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_load_without_a_file_takes_less_than_two_milliseconds(tmp_path):
    """The best of many, so that a busy machine does not fail it."""
    times = []
    for _ in range(50):
        before = time.perf_counter()
        config.load({"RELAYQ_HOME": str(tmp_path)})
        times.append(time.perf_counter() - before)
    assert min(times) < 0.002
