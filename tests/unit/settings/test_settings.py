"""Every setting arrives from flag, variable and file in the Config it belongs to; faults name where they come from."""

import argparse
import hashlib
import json
import re
from pathlib import Path

import msgspec
import pytest

from imgserve.setting import Secret, Setting
from imgserve.settings import read
from imgserve.settings.load import SettingsInvalid, add_flags, config_file, load
from imgserve.settings.options import BY_NAME, DECLARED, Option
from imgserve.settings.tree import Settings
from imgserve.telemetry.config import LogFileConfig
from tests.support.certificates import Authority
from tests.unit.settings.shown_by import SHOWN_BY
from tests.unit.settings.unusual import PATHS_OF_MOUNTS, unusual_in_table

ROOT = Path(__file__).resolve().parents[3]
DATABASE = "postgresql://imgserve@db.test/imgserve"
# Settings that are no good without another one, and that.
BESIDE = {name: ("queue", DATABASE) for name in ("queue_direct", "queue_uploads", "role")}
TLS_PAIR = {"tls_cert", "tls_key"}
USUAL = Settings(Path(), Path(), LogFileConfig())
NO_SETTINGS = {
    "config_file", "credentials", "webhooks", "intake.storage_timeout_s", "on_demand.patience_s", "pictures",
    "presets.named", "notify_socket", "ignored_variables", "renamed", "boot_id", "test",
}  # fmt: skip
SETTINGS = DECLARED.options
NAMES = [option.name for option in SETTINGS]
PLAIN = [option for option in SETTINGS if not option.held_in]


def loaded(*arguments: str, config: str = "", tmp_path: Path = Path(), **environ: str) -> Settings:
    """As the command line would; ``config`` is the text of a TOML file in ``tmp_path``."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    if config:
        (tmp_path / "given.toml").write_text(config)
        arguments = ("--config", str(tmp_path / "given.toml"), *arguments)
    return load(parser.parse_args(arguments), {"HOME": "/nonexistent", **environ})


def faults(*arguments: str, config: str = "", tmp_path: Path = Path(), **environ: str) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        loaded(*arguments, config=config, tmp_path=tmp_path, **environ)
    return str(caught.value).split("; ")


def leaves(value: object, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(type(value)):  # type: ignore[arg-type]
        inner = getattr(value, field.name)
        if isinstance(inner, msgspec.Struct) and not isinstance(inner, Secret):
            found |= leaves(inner, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = inner
    return found


def unusual(option: Option, tmp_path: Path) -> object:
    """A value that is not the default, as the Config will hold it."""
    if option.table:
        return unusual_in_table(option)
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-some-length-01\n")
    chosen = {
        "host": "127.0.0.3", "api_key_file": str(keys), "sandbox": "off", "isolation": "shared",
        "log_format": "json", "log_level": "debug", "render_profile": "speed",
        "otel_endpoint": "http://127.0.0.1:4318", "heartbeat_s": 7.0, "queue_quota": 0.25, "user": "nobody",
        "intake_host_quota": 0.25, "negotiate": ("avif", "png"),
        "allow_network": ("10.1.0.0/16", "10.2.0.0/16"), "ports": ("8080", "9000-9100"),
        "queue": DATABASE, "queue_direct": DATABASE, "role": "runner", "queue_uploads": "database",
        "trusted_proxies": ("10.1.0.0/16", "10.2.0.1"),
        "cors_origin": ("https://a.test", "http://b.test:8080"), "proxy": "http://user:s3cret@proxy.test:3128",
    }  # fmt: skip
    if option.name == "referer":
        return ("pics.example.com=https://shop.example.com/",)
    if option.name == "ca_file":
        return str(Authority(tmp_path).ca_file)
    if option.name in TLS_PAIR:
        return str(Authority(tmp_path).server_file("imgserve.test"))
    if option.name in chosen:
        return chosen[option.name]
    if option.is_list:
        return (str(tmp_path), str(tmp_path.parent))
    if option.is_path:
        return str(tmp_path / "there")
    usual = leaves(USUAL)[option.target]
    assert isinstance(usual, int | float)
    return type(usual)(usual - 1 if option.name == "max_output_side_px" else usual + 1)


def written(option: Option, value: object) -> str:
    """A line of TOML, below its table."""
    if isinstance(value, dict):
        text = ", ".join(f"{key} = {json.dumps(one)}" for key, one in value.items())
        value_text = f"{{{text}}}"
    else:
        value_text = json.dumps(value)
    return f"{f'[{option.table}]' if option.table else ''}\n{option.key} = {value_text}"


def typed(value: object) -> str:
    """As in a variable."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={one}" for key, one in value.items())
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def test_every_field_has_a_setting_and_every_setting_a_field() -> None:
    assert sorted(set(leaves(USUAL)) - NO_SETTINGS) == sorted({option.target for option in SETTINGS})
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("option", PLAIN, ids=[option.name for option in PLAIN])
def test_each_arrives_from_file_variable_and_flag(option: Option, tmp_path: Path) -> None:
    value = unusual(option, tmp_path)
    # One of the two files is no good without the other; the sample holds both.
    beside = {BY_NAME[name].variable: str(value) for name in TLS_PAIR - {option.name} if option.name in TLS_PAIR}
    if option.name in BESIDE:
        other, needed = BESIDE[option.name]
        beside[BY_NAME[other].variable] = needed
    for key, other_value in PATHS_OF_MOUNTS.get(option.name, {}).items():
        beside[BY_NAME[f"{option.table}.{key}"].variable] = typed(other_value)
    by_file = loaded(config=written(option, value), tmp_path=tmp_path, **beside)
    many = value if isinstance(value, tuple) else (value,)
    ways = [by_file, load(argparse.Namespace(), {"HOME": "/nonexistent", option.variable: typed(value), **beside})]
    for flag in option.flags:
        ways.append(loaded(*(word for one in many for word in (flag, str(one))), tmp_path=tmp_path, **beside))
    for settings in ways:
        arrived = leaves(settings)[option.target]
        assert (str(arrived) if isinstance(arrived, Path) else arrived) == value
    assert leaves(loaded())[option.target] != value


@pytest.mark.parametrize("option", SETTINGS, ids=NAMES)
def test_each_is_refused_when_it_makes_no_sense(option: Option, tmp_path: Path) -> None:
    (fault,) = faults(config=written(option, [[]]), tmp_path=tmp_path)
    assert fault.startswith(f"{tmp_path}/given.toml, line 2: {option.label}: expected ")


def test_flag_before_variable_before_file_before_default(tmp_path: Path) -> None:
    file = "workers = 5\nport = 5\nmax_waiting = 5"
    settings = loaded("--port", "7", config=file, tmp_path=tmp_path, IMGSERVE_PORT="6", IMGSERVE_MAX_WAITING="6")
    assert (settings.api.port, settings.queue.max_waiting, settings.pool.workers) == (7, 6, 5)
    assert settings.limits == USUAL.limits


def test_a_list_replaces_the_list_of_a_weaker_origin(tmp_path: Path) -> None:
    settings = loaded("--allow-network", "10.1.0.0/16", config='allow_network = ["10.9.0.0/16"]', tmp_path=tmp_path)
    assert settings.transfer.allow_networks == ("10.1.0.0/16",)


def test_all_faults_at_once_each_with_its_origin(tmp_path: Path) -> None:
    found = faults(
        "--workers", "none", "--read-root", "/no/such/directory",
        config='wrokers = 3\nport = "8602"\nsandbox = "maybe"\n[limits]\nframes = 3', tmp_path=tmp_path,
        IMGSERVE_HTOS="::1", IMGSERVE_RENDER_TIMEOUT_S="0", IMGSERVE_ALLOW_NETWORK="10.0.0.0/8, 10",
        IMGSERVE_TEST='{"failpoint": "nowhere"}',
    )  # fmt: skip
    where = f"{tmp_path}/given.toml"
    assert [fault.partition(", got")[0] for fault in found] == [
        "--workers: expected a whole number from 1 to 1,024",
        "IMGSERVE_RENDER_TIMEOUT_S: expected a number above 0",
        "IMGSERVE_HTOS: there is no such setting (did you mean IMGSERVE_HOST?)",
        f"{where}, line 1: wrokers: there is no such setting (did you mean workers?)",
        f"{where}, line 4: limits: there is no such table (settings stand above all tables)",
        f"{where}, line 2: port: expected a whole number from 0 to 65,535",
        f"{where}, line 3: sandbox: expected one of auto, off, require",
        "IMGSERVE_TEST: Invalid enum value 'nowhere' - at `$.failpoint`",
        "IMGSERVE_ALLOW_NETWORK: expected a network such as 10.0.0.0/8",
        "--read-root: there is no directory '/no/such/directory' (make it, or name another)",
    ]


def test_a_network_that_is_none_is_told_under_its_variable() -> None:
    (fault,) = faults(IMGSERVE_ALLOW_NETWORK="10.0.0.0/8, nonsense")
    assert fault == "IMGSERVE_ALLOW_NETWORK: expected a network such as 10.0.0.0/8, got 'nonsense'"


@pytest.mark.parametrize("text", ["0", "70000", "9-8", "http", "80-"])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    (fault,) = faults(IMGSERVE_PORTS=text)
    assert fault.startswith("IMGSERVE_PORTS: expected a port such as 443 or a range such as 1024-65535")


def test_a_heartbeat_must_come_before_its_lease_ends() -> None:
    (fault,) = faults(IMGSERVE_LEASE_S="10", IMGSERVE_HEARTBEAT_S="6")
    assert fault == "IMGSERVE_HEARTBEAT_S: expected at most half of lease_s (10), got 6"


@pytest.mark.parametrize(
    ("text", "word"), [("a = ", "is not TOML"), (None, "does not exist, expected a TOML file"), (b"\xff", "not UTF-8")]
)
def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, text: str | bytes | None, word: str) -> None:
    path = tmp_path / "x.toml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (fault,) = faults("--config", str(path))
    assert fault.startswith(f"--config: {path}")
    assert word in fault


def test_the_usual_file_is_read_when_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert loaded(HOME=str(tmp_path)).data_dir == tmp_path / ".imgserve"
    (tmp_path / ".imgserve").mkdir()
    (tmp_path / ".imgserve/imgserve.toml").write_text("port = 4")
    assert loaded(HOME=str(tmp_path)).api.port == 4
    assert config_file(Path("/var/lib/imgserve")) == Path("/etc/imgserve.toml")


def test_where_things_are_for_root_and_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    ours = loaded(HOME="/home/me")
    assert (ours.data_dir, ours.pid_file) == (Path("/home/me/.imgserve"), Path("/home/me/.imgserve/imgserve.pid"))
    assert ours.log.file == "/home/me/.imgserve/imgserve.log"
    elsewhere = loaded("--data-dir", "/srv/queue", HOME="/home/me")
    assert (elsewhere.pid_file, elsewhere.log.file) == (Path("/srv/queue/imgserve.pid"), "/srv/queue/imgserve.log")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    roots = loaded(HOME="/root")
    assert (roots.data_dir, roots.pid_file) == (Path("/var/lib/imgserve"), Path("/var/run/imgserve.pid"))
    assert roots.log.file == "/var/log/imgserve/imgserve.log"


def test_relative_paths_count_from_the_file_or_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    assert loaded("--read-root", "in").transfer.read_roots == (str(tmp_path / "in"),)
    (tmp_path / "etc").mkdir()
    monkeypatch.chdir("/")
    (tmp_path / "etc/in").mkdir()
    settings = loaded(config='read_root = ["in"]', tmp_path=tmp_path / "etc")
    assert settings.transfer.read_roots == (str(tmp_path / "etc/in"),)


def test_a_tilde_is_the_home_directory(tmp_path: Path) -> None:
    """A shell leaves that of --data-dir=~/x alone, and a directory of that name is soon removed with more than it."""
    home = str(tmp_path)
    (tmp_path / "in").mkdir()
    assert loaded("--data-dir", "~/data", HOME=home).data_dir == tmp_path / "data"
    assert loaded("--read-root", "~/in", HOME=home).transfer.read_roots == (str(tmp_path / "in"),)
    (tmp_path / "etc").mkdir()
    settings = loaded(config='data_dir = "~/data"\nread_root = ["~/in"]', tmp_path=tmp_path / "etc", HOME=home)
    assert (settings.data_dir, settings.transfer.read_roots) == (tmp_path / "data", (str(tmp_path / "in"),))


def test_a_user_without_a_name_and_a_home_has_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container. Where the settings name a data directory the home directory is not even needed."""
    monkeypatch.setattr("os.geteuid", lambda: 86_021)
    assert loaded(HOME="", IMGSERVE_DATA_DIR="/data").data_dir == Path("/data")
    assert loaded(HOME="").data_dir == Path("/.imgserve")


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert loaded(config="\ufeffworkers = 3\n", tmp_path=tmp_path).pool.workers == 3


def test_an_empty_variable_counts_as_none() -> None:
    assert loaded(IMGSERVE_WORKERS="", IMGSERVE_READ_ROOT="") == loaded()


def test_attempts_at_once_follow_the_workers() -> None:
    assert [loaded("--workers", n).runner.max_attempts for n in ("1", "3", "9")] == [16, 48, 64]
    assert loaded("--workers", "9", IMGSERVE_MAX_ATTEMPTS_AT_ONCE="2").runner.max_attempts == 2


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-some-length-01\n")
    settings = loaded("--api-key-file", str(keys))
    assert settings.api.keys()[0].digests == (hashlib.sha256(b"a-key-of-some-length-01").digest(),)
    assert "a-key-of" not in repr(settings)
    problems: list[str] = []
    for is_secret in (False, True):
        option = Option("token", "", int, Setting("a secret", is_secret=is_secret))
        read._converted([(option, read.Value("s3cret", "--token"))], Path("/"), problems)
    assert problems == ["--token: expected a whole number, got s3cret", "--token: expected a whole number"]
    (fault,) = faults(config="proxy = 31337", tmp_path=tmp_path)
    assert "31337" not in fault


def test_every_setting_has_its_line_in_the_reference() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text()
    for option in SETTINGS:
        assert f"\n| `{option.label}`" in text, option.name


def test_a_test_shows_what_each_setting_changes() -> None:
    assert sorted(SHOWN_BY) == sorted(NAMES)
    for name, (file, test) in SHOWN_BY.items():
        assert re.search(rf"^(    )?(async )?def {test}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE), name
