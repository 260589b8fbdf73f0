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

ROOT = Path(__file__).resolve().parents[3]
DAEMON, DOORS, E2E = "service/test_daemon.py", "service/test_doors.py", "service/test_settings.py"
OVERLOAD = "chaos/test_overload.py"
TRANSFERS, FETCH, POOL = "unit/transfer/test_config.py", "contract/transfer/test_fetch.py", "integration/test_pool.py"
KEYS = "service/test_keys.py"
CROWDED = "hostile/test_crowded.py"
QUEUE, KEEPING = "contract/queue/test_config.py", "engines/sqlite/test_storage.py"
QUEUE_URL, NODES = "unit/settings/test_queue_url.py", "service/test_nodes.py"
# Which test shows what a setting changes; that its value arrives is shown below for all of them.
SHOWN_BY = {
    "host": (DAEMON, "test_restart_starts_what_does_not_run"),
    "port": (DAEMON, "test_restart_is_another_server_on_the_same_data"),
    "api_key_file": (DOORS, "test_keys"),
    "tls_cert": ("service/test_tls.py", "test_jobs_are_taken_by_tls"),
    "tls_key": ("service/test_tls.py", "test_jobs_are_taken_by_tls"),
    "cors_origin": ("service/test_cors.py", "test_a_listed_page_is_let_in"),
    "data_dir": (DAEMON, "test_a_whole_life"),
    "pid_file": (DAEMON, "test_a_whole_life"),
    "log_file": (DAEMON, "test_a_whole_life"),
    "log_max_bytes": (DAEMON, "test_the_log_is_renamed_when_it_is_large_and_few_are_kept"),
    "log_keep": (DAEMON, "test_the_log_is_renamed_when_it_is_large_and_few_are_kept"),
    "log_format": ("unit/telemetry/test_logs.py", "test_a_line_of_json"),
    "log_level": ("service/test_seeing.py", "test_debug_tells_more_and_warning_less"),
    "otel_endpoint": ("service/test_tracing.py", "test_a_job_is_one_trace_from_its_callers_span_on"),
    "role": (NODES, "test_one_takes_the_job_and_another_carries_it_out"),
    "queue": (NODES, "test_one_takes_the_job_and_another_carries_it_out"),
    "queue_password_file": (QUEUE_URL, "test_the_password_comes_from_a_file_or_a_variable"),
    "queue_password_env": (QUEUE_URL, "test_the_password_comes_from_a_file_or_a_variable"),
    "queue_direct": (QUEUE_URL, "test_a_url_arrives_with_its_password_and_without_is_shown"),
    "user": (DAEMON, "test_a_server_started_by_root_becomes_the_user"),
    "drain_s": (DAEMON, "test_stop_waits_for_what_runs_and_kill_does_not"),
    "request_header_timeout_s": (DOORS, "test_half_a_header_is_ended"),
    "request_body_timeout_s": (DOORS, "test_half_a_body_is_ended"),
    "max_connections": (CROWDED, "test_a_seat_is_free_again_when_its_connection_ends"),
    "max_connections_per_address": (CROWDED, "test_one_address_does_not_have_all_the_seats"),
    "rate_limit_per_minute": (KEYS, "test_who_posts_too_often_is_told_when_to_come_back"),
    "rate_limit_burst": (KEYS, "test_who_posts_too_often_is_told_when_to_come_back"),
    "max_job_bytes": (E2E, "test_limits"),
    "allow_network": (
        "contract/transfer/test_guard.py",
        "test_every_spelling_of_loopback_is_refused_and_its_twin_arrives",
    ),
    "ports": (TRANSFERS, "test_ports"),
    "read_root": ("service/test_classic.py", "test_each_code"),
    "write_root": ("service/test_classic.py", "test_each_code"),
    "proxy": ("contract/transfer/test_proxy.py", "test_http_and_https_in_and_out"),
    "referer": ("contract/transfer/test_logins.py", "test_a_referer_goes_to_its_host_alone"),
    "ca_file": ("contract/transfer/test_tls.py", "test_https_in_and_out"),
    "connect_timeout_s": (TRANSFERS, "test_a_connection_that_does_not_come_is_given_up"),
    "source_timeout_s": (FETCH, "test_a_silent_server_is_given_up"),
    "placeholder_timeout_s": (E2E, "test_a_placeholder_that_is_not_answered_holds_up_the_reply_for_its_time"),
    "delivery_timeout_s": ("integration/test_attempt.py", "test_a_delivery_that_takes_too_long_is_tried_again"),
    "low_speed_bytes_s": (TRANSFERS, "test_a_slow_source_is_ended"),
    "low_speed_time_s": (TRANSFERS, "test_a_slow_source_is_ended"),
    "max_transfers": (TRANSFERS, "test_how_many_at_once"),
    "max_transfers_per_host": (TRANSFERS, "test_how_many_at_once"),
    "max_transfers_per_ftp_host": (TRANSFERS, "test_how_many_at_once"),
    "source_memory_bytes": (FETCH, "test_fetches_wait_for_memory"),
    "kept_renditions_bytes": ("integration/test_attempt.py", "test_without_room_a_rendition_is_not_kept"),
    "placeholder_cache_bytes": ("integration/test_placeholder.py", "test_drawn_once_where_there_is_room"),
    "max_source_bytes": (E2E, "test_limits"),
    "max_svg_bytes": (E2E, "test_limits"),
    "max_frame_pixels": (E2E, "test_limits"),
    "max_frames": (E2E, "test_limits"),
    "max_total_pixels": (E2E, "test_limits"),
    "max_output_pixels": (E2E, "test_limits"),
    "max_output_side_px": (E2E, "test_limits"),
    "jpeg_quality": (E2E, "test_qualities_of_jobs_that_name_none"),
    "webp_quality": (E2E, "test_qualities_of_jobs_that_name_none"),
    "avif_quality": (E2E, "test_qualities_of_jobs_that_name_none"),
    "presets_only": ("service/test_presets.py", "test_where_only_presets_are_rendered"),
    "workers": (DAEMON, "test_a_whole_life"),
    "sandbox": (E2E, "test_times_of_workers_and_no_sandbox"),
    "isolation": ("integration/test_pool_isolation.py", "test_a_picture_each"),
    "allow_system_libvips": ("service/test_libvips.py", "test_the_systems_libvips"),
    "font_dirs": ("integration/test_fonts.py", "test_a_font_of_a_directory"),
    "render_timeout_s": (E2E, "test_times_of_workers_and_no_sandbox"),
    "svg_timeout_s": (E2E, "test_a_render_has_more_time_than_an_svg"),
    "probe_timeout_s": (E2E, "test_times_of_workers_and_no_sandbox"),
    "recycle_after": (POOL, "test_a_worker_is_retired_after_its_share"),
    "worker_memory_bytes": (POOL, "test_workers_that_cannot_start_say_why"),
    "max_waiting": ("contract/queue/test_intake.py", "test_the_limit_of_waiting_jobs"),
    "queue_quota": (KEYS, "test_one_fills_its_part_of_the_queue_and_the_other_has_room"),
    "max_intake": (E2E, "test_jobs_taken_in_and_under_way_one_at_a_time"),
    "max_intake_waiting": (OVERLOAD, "test_requests_beyond_those_that_may_wait_are_turned_away"),
    "intake_host_quota": ("service/test_silent_hosts.py", "test_more_for_one_host_than_may_wait_are_turned_away"),
    "queue_uploads": ("service/test_shared_uploads.py", "test_a_picture_that_one_server_received_is_anothers_too"),
    "upload_quota_bytes": (
        "service/test_uploads.py",
        "test_the_quota_counts_what_is_kept_and_is_judged_before_the_picture_comes",
    ),
    "max_upload_bytes": ("integration/test_uploads.py", "test_all_keys_share_the_room_of_the_data_directory"),
    "max_uploads": ("service/test_uploads.py", "test_a_slow_upload_ends_by_its_limit_and_holds_up_no_other"),
    "max_on_demand": ("service/test_on_demand_load.py", "test_the_server_takes_so_many_and_no_more"),
    "negotiate": ("service/test_on_demand_load.py", "test_what_a_client_may_negotiate_is_a_setting"),
    "max_attempts_at_once": (E2E, "test_jobs_taken_in_and_under_way_one_at_a_time"),
    "max_slow_per_host": (OVERLOAD, "test_a_destination_that_never_answers_holds_up_only_its_own_jobs"),
    "max_outbox_at_once": ("integration/test_runner.py", "test_entries_at_once"),
    "attempt_timeout_s": ("integration/test_runner.py", "test_an_attempt_that_takes_too_long_is_tried_again"),
    "deadline_s": (E2E, "test_no_attempt_after_the_deadline"),
    "retry_delay_s": ("chaos/test_flaky.py", "test_a_destination_that_fails_half_the_time_gets_everything"),
    "repeat_after_s": ("service/test_classic.py", "test_an_unanswered_placeholder_sends_the_final_twice"),
    "outbox_deadline_s": (QUEUE, "test_how_long_an_entry_is_owed"),
    "lease_s": (QUEUE, "test_how_long_a_lease_lasts"),
    "heartbeat_s": ("integration/test_runner.py", "test_a_lost_lease_ends_the_write"),
    "quiet_s": ("contract/queue/test_destinations.py", "test_the_quiet_time_is_a_setting"),
    "keep_ended_s": (QUEUE, "test_how_long_ended_and_failed_jobs_are_kept"),
    "keep_failed_s": (QUEUE, "test_how_long_ended_and_failed_jobs_are_kept"),
    "min_free_disk_bytes": (KEEPING, "test_below_the_disk_floor_nothing_is_accepted_but_work_ends"),
}
DATABASE = "postgresql://imgserve@db.test/imgserve"
# Settings that are no good without another one, and that.
BESIDE = {name: ("queue", DATABASE) for name in ("queue_direct", "queue_uploads", "role")}
TLS_PAIR = {"tls_cert", "tls_key"}
USUAL = Settings(Path(), Path(), LogFileConfig())
NO_SETTINGS = {
    "config_file", "credentials", "webhooks", "intake.storage_timeout_s", "pictures", "presets.named", "notify_socket",
    "ignored_variables", "renamed", "boot_id", "test",
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
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-some-length-01\n")
    chosen = {
        "host": "127.0.0.3", "api_key_file": str(keys), "sandbox": "off", "isolation": "shared",
        "log_format": "json", "log_level": "debug",
        "otel_endpoint": "http://127.0.0.1:4318", "heartbeat_s": 7.0, "queue_quota": 0.25, "user": "nobody",
        "intake_host_quota": 0.25, "negotiate": ("avif", "png"),
        "allow_network": ("10.1.0.0/16", "10.2.0.0/16"), "ports": ("8080", "9000-9100"),
        "queue": DATABASE, "queue_direct": DATABASE, "role": "runner", "queue_uploads": "database",
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


def test_every_field_has_a_setting_and_every_setting_a_field() -> None:
    assert sorted(set(leaves(USUAL)) - NO_SETTINGS) == sorted({option.target for option in SETTINGS})
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("option", PLAIN, ids=[option.name for option in PLAIN])
def test_each_arrives_from_file_variable_and_flag(option: Option, tmp_path: Path) -> None:
    value = unusual(option, tmp_path)
    many = value if isinstance(value, tuple) else (value,)
    # One of the two files is no good without the other; the sample holds both.
    beside = {BY_NAME[name].variable: str(value) for name in TLS_PAIR - {option.name} if option.name in TLS_PAIR}
    if option.name in BESIDE:
        other, needed = BESIDE[option.name]
        beside[BY_NAME[other].variable] = needed
    by_file = loaded(config=f"{option.name} = {json.dumps(value)}", tmp_path=tmp_path, **beside)
    with_variable = {option.variable: ",".join(map(str, many)), **beside}
    ways = [by_file, load(argparse.Namespace(), {"HOME": "/nonexistent", **with_variable})]
    for flag in option.flags:
        ways.append(loaded(*(word for one in many for word in (flag, str(one))), tmp_path=tmp_path, **beside))
    for settings in ways:
        arrived = leaves(settings)[option.target]
        assert (str(arrived) if isinstance(arrived, Path) else arrived) == value
    assert leaves(loaded())[option.target] != value


@pytest.mark.parametrize("option", SETTINGS, ids=NAMES)
def test_each_is_refused_when_it_makes_no_sense(option: Option, tmp_path: Path) -> None:
    (fault,) = faults(config=f"{option.name} = {{}}", tmp_path=tmp_path)
    assert fault.startswith(f"{tmp_path}/given.toml, line 1: {option.name}: expected ")


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
        f"{where}, line 4: limits: there is no such setting",
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
        read._converted([(option, read.Value("s3cret", "--token"))], problems)
    assert problems == ["--token: expected a whole number, got s3cret", "--token: expected a whole number"]
    (fault,) = faults(config="proxy = 31337", tmp_path=tmp_path)
    assert "31337" not in fault


def test_every_setting_has_its_line_in_the_reference() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text()
    for option in SETTINGS:
        assert f"\n| `{option.name}`" in text, option.name


def test_a_test_shows_what_each_setting_changes() -> None:
    assert sorted(SHOWN_BY) == sorted(NAMES)
    for name, (file, test) in SHOWN_BY.items():
        assert re.search(rf"^(async )?def {test}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE), name
