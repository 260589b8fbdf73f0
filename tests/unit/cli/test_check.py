"""What ``imgserve check`` says of settings, files and machine: one row for each thing it must notice."""

import os
import resource
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from xml.parsers import expat

import msgspec
import pytest

from imgserve.api.config import Config as ApiConfig
from imgserve.cli import owner
from imgserve.cli.check import certificates, exposure, files, installation, libraries, machine, mounts, storage, uploads
from imgserve.cli.check.finding import Finding
from imgserve.engine.config import UploadConfig
from imgserve.jobs.sqlite.connection import connect
from imgserve.jobs.sqlite.inspect import inspect
from imgserve.jobs.sqlite.leaving import LEFT_NAME
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.request.principal import OPERATOR_ID
from imgserve.setting import Secret
from imgserve.settings.tree import Settings
from tests.contract.queue.test_webhooks import messages, posted
from tests.support.buckets import ObjectStore, credential_for
from tests.support.certificates import Authority
from tests.support.habits import Habit
from tests.support.queues import START, accepted, claimed, ended, failed, output, released
from tests.support.sqlite import SqliteHouse
from tests.unit.settings.test_settings import loaded

Look = Callable[[Settings], Iterator[Finding]]
KEY = "a-key-of-some-length-01\n"


def test_holes_of_an_expat_that_its_version_tells_are_named() -> None:
    old, new = libraries.expat_of((2, 5, 0), ""), libraries.expat_of((2, 7, 4), "")
    assert (old.state, new.state) == ("warning", "warning")
    assert "CVE-2024-50602 (closed in 2.6.4)" in old.detail
    assert "CVE-2024-50602" not in new.detail
    assert "CVE-2026-45186 (closed in 2.8.1)" in new.detail
    assert libraries.expat_of((99, 0), "").state == "ok"
    assert libraries.expat_of((2, 5, 0), "/lib/libexpat.so.1").state == "ok", (
        "a distribution mends without a new number"
    )


@pytest.mark.parametrize(
    ("libheif", "libde265", "state"),
    [("1.23.4", "1.1.3", "ok"), ("1.23.0", "1.1.0", "warning"), ("1.24.0", "1.1.2", "warning"), ("2.0", "2.0", "ok")],
)
def test_decoders_of_heic_with_holes_are_named(libheif: str, libde265: str, state: str) -> None:
    assert libraries.heic_of("pi_heif", libheif, libde265).state == state


def test_libraries_are_named_with_their_owners() -> None:
    found = {one.about: one for one in libraries.look()}
    assert set(found) == {"expat", "fast JPEG", "HEIC"}
    version = expat.EXPAT_VERSION.removeprefix("expat_")
    assert found["expat"].detail.startswith(f"expat {version}, ")


def said(look: Look, settings: Settings, about: str) -> list[tuple[str, str]]:
    return [(one.state, one.detail) for one in look(settings) if one.about == about]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A directory with ``data`` (0700), ``read``, ``write`` and ``keys`` (0600)."""
    for name in ("data", "read", "write"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "keys").touch(0o600)
    (tmp_path / "keys").write_text(KEY)
    return tmp_path


def settings_in(house: Path, *flags: str) -> Settings:
    return loaded("--data-dir", str(house / "data"), "--log-file", str(house / "data/log"), *flags)


@pytest.mark.parametrize(
    ("network", "with_keys", "state"),
    [
        ("0.0.0.0/0", False, "fault"),
        ("::/0", False, "fault"),
        ("169.254.0.0/16", False, "fault"),
        ("169.254.169.254", False, "fault"),
        ("168.63.129.16/32", False, "fault"),
        ("fd00:ec2::/32", False, "fault"),
        ("10.0.0.0/8", False, "warning"),
        ("fd00::/16", False, "fault"),
        ("fd12::/32", False, "warning"),
        ("127.0.0.0/8", True, "warning"),
        ("127.0.0.0/8", False, "ok"),
        ("10.1.0.0/16", True, "ok"),
        ("fd12:3456:789a::/48", False, "ok"),
    ],
)
def test_networks(house: Path, network: str, with_keys: bool, state: str) -> None:
    keys = ("--api-key-file", str(house / "keys")) if with_keys else ()
    [(got, detail)] = said(exposure.look, settings_in(house, "--allow-network", network, *keys), "allow_network")
    assert (got, network.partition("/")[0] in detail) == (state, True)


@pytest.mark.parametrize(
    ("host", "with_keys", "state"),
    [("0.0.0.0", True, "warning"), ("::", True, "warning"), ("192.0.2.7", True, "warning"), ("0.0.0.0", False, "ok"),
     ("127.0.0.1", True, "ok"), ("::1", True, "ok"), ("localhost", True, "ok")],
)  # fmt: skip
def test_keys_over_plain_http(house: Path, host: str, with_keys: bool, state: str) -> None:
    keys = ("--api-key-file", str(house / "keys")) if with_keys else ()
    [(got, _)] = said(exposure.look, settings_in(house, "--host", host, *keys), "host")
    assert got == state


def test_root_needs_a_user(house: Path) -> None:
    is_root = os.geteuid() == 0
    assert [state for state, _ in said(exposure.look, settings_in(house), "user")] == ["warning" if is_root else "ok"]
    assert [state for state, _ in said(exposure.look, settings_in(house, "--user", "nobody"), "user")] == ["ok"]


@pytest.mark.parametrize(
    ("write", "read", "about", "state", "words"),
    [
        ("write", "read", "files", "ok", "open nothing"),
        ("write", "write", "write_root", "warning", "overwrite originals"),
        (".", "read", "write_root", "fault", "could overwrite"),
        ("data/inside", "read", "write_root", "fault", "could overwrite"),
        ("/", "read", "write_root", "fault", "system's own"),
        ("/etc", "read", "write_root", "fault", "system's own"),
        ("/usr/share", "read", "write_root", "fault", "system's own"),
        ("open", "read", "write_root", "warning", "every user"),
        ("write", "/etc", "read_root", "warning", "system's own"),
        ("write", "data", "read_root", "warning", "could read"),
    ],
)
def test_roots(house: Path, write: str, read: str, about: str, state: str, words: str) -> None:
    (house / "data/inside").mkdir()
    (house / "open").mkdir()
    (house / "open").chmod(0o777)
    roots = ("--write-root", str(house / write), "--read-root", str(house / read))
    found = said(files.look, settings_in(house, *roots), about)
    assert [(got, words in detail) for got, detail in found] == [(state, True)]


@pytest.mark.parametrize(("mode", "state"), [(0o600, "ok"), (0o640, "ok"), (0o644, "fault"), (0o660, "fault")])
def test_who_can_read_the_keys(house: Path, mode: int, state: str) -> None:
    (house / "keys").chmod(mode)
    found = said(files.look, settings_in(house, "--api-key-file", str(house / "keys")), "api_key_file")
    assert [got for got, _ in found] == ([] if state == "ok" else [state])


def test_who_can_read_the_log(house: Path) -> None:
    (house / "data/log").touch()
    (house / "data/log").chmod(0o640)
    assert said(files.look, settings_in(house), "log_file") == []
    (house / "data/log").chmod(0o644)
    assert [state for state, _ in said(files.look, settings_in(house), "log_file")] == ["warning"]


def test_a_data_directory_that_others_can_read(house: Path) -> None:
    assert [state for state, _ in said(storage.look, settings_in(house), "data_dir")] == ["ok"]
    (house / "data").chmod(0o750)
    assert [state for state, _ in said(storage.look, settings_in(house), "data_dir")] == ["fault"]
    (house / "data").chmod(0o700)
    (house / "data" / FILE_NAME).touch(0o644)
    assert [state for state, _ in said(storage.look, settings_in(house), "data_dir")] == ["fault"]


def test_a_data_directory_that_is_not_there_is_not_made(house: Path) -> None:
    (house / "data").rmdir()
    assert [state for state, _ in said(storage.look, settings_in(house), "data_dir")] == ["ok"]
    assert not (house / "data").exists()
    [(state, _)] = said(storage.look, loaded("--data-dir", str(house / "keys/data")), "data_dir")
    assert state == "fault"


def test_what_a_reboot_forgets() -> None:
    assert mounts.file_system(Path("/dev/shm")) in mounts.FLEETING
    settings = loaded("--data-dir", "/dev/shm/imgserve-is-not-there")
    assert ("fault", True) in [("fault", "reboot" in detail) for _, detail in said(storage.look, settings, "data_dir")]


def test_the_floor_of_the_disk(house: Path) -> None:
    free = os.statvfs(house).f_bavail * os.statvfs(house).f_frsize
    for floor, state in ((1, "ok"), (free // 2, "warning"), (free * 2, "fault")):
        settings = settings_in(house)
        tight = msgspec.structs.replace(settings.queue, min_free_disk_bytes=floor)
        found = said(storage.look, msgspec.structs.replace(settings, queue=tight), "disk")
        assert [got for got, _ in found] == [state]


async def test_the_queue_file_is_read_beside_its_owner_and_left_as_it_was(house: Path) -> None:
    queues = SqliteHouse(house / "data")
    assert inspect(house / "data") is None
    queue = await queues.open()
    assert owner.look(house / "data").pid == os.getpid()
    await released(queue)
    told = inspect(house / "data")
    assert told is not None
    assert told.version == version("imgserve")
    assert told.counts is not None
    assert (told.counts.waiting, told.counts.running, told.counts.oldest_at, told.counts.due_at) == (1, 0, START, START)
    [(state, detail)] = said(storage.look, settings_in(house), "queue")
    assert (state, "late" in detail) == ("warning", True)
    assert await queue.settle(ended(await claimed(queue), "delivered"), START)
    await queues.crash()
    before = sorted(os.listdir(house / "data"))
    assert owner.look(house / "data").state == "absent"
    assert said(storage.look, settings_in(house), "queue") == [("ok", "0 jobs waiting, 0 running")]
    assert sorted(os.listdir(house / "data")) == before, "a look made files"


async def test_waiting_jobs_without_a_server_and_debts(house: Path) -> None:
    queues = SqliteHouse(house / "data")
    queue = await queues.open()
    await failed(queue)
    await accepted(queue, now=time.time())
    await queues.crash()
    [(state, detail)] = said(storage.look, settings_in(house), "queue")
    assert (state, "no server runs" in detail) == ("warning", True)
    [(state, detail)] = said(storage.look, settings_in(house), "outbox")
    assert (state, "1 still tried, 0 given up, 0 of stored" in detail) == ("warning", True)


async def test_webhooks_that_were_not_taken(house: Path) -> None:
    queues = SqliteHouse(house / "data")
    queue = await queues.open()
    for name in ("a", "b"):
        await posted(queue, output(f"http://h.test/{name}.png"))
        await queue.settle(ended(await claimed(queue), "delivered"), START)
    given_up, _ = await messages(queue)
    await queue.settle_entry(given_up, "abandoned", START)
    await queues.crash()
    found = [("warning", "messages left: 1 still tried, 1 given up")]
    assert said(storage.look, settings_in(house), "webhooks") == found


async def test_a_damaged_and_a_newer_queue_file(house: Path) -> None:
    queues = SqliteHouse(house / "data")
    await queues.open()
    await queues.crash()
    path = house / "data" / FILE_NAME
    db = connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    [(state, detail)] = said(storage.look, settings_in(house), "queue file")
    assert (state, "schema 99" in detail) == ("fault", True)
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    assert [state for state, _ in said(storage.look, settings_in(house), "queue file")] == ["fault"]


@pytest.mark.parametrize("version", [0, 3, 5])
def test_another_programs_database_is_a_fault_as_it_is_at_a_start(house: Path, version: int) -> None:
    db = connect(house / "data" / FILE_NAME)
    db.execute(f"CREATE TABLE notes (text TEXT); PRAGMA user_version = {version}")
    db.close()
    (house / "data" / FILE_NAME).chmod(0o600)
    [(state, detail)] = said(storage.look, settings_in(house), "queue file")
    assert state == "fault"
    assert ("a database of another program" if version == 0 else "is of no released version") in detail


async def test_damage_where_no_count_would_meet_it(house: Path) -> None:
    queues = SqliteHouse(house / "data")
    queue = await queues.open()
    await queue.note_placeholder(b"digest", 100, START)
    await queues.crash()
    path = house / "data" / FILE_NAME
    db = connect(path)
    page = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'placeholder'").get
    size = db.execute("PRAGMA page_size").get
    db.close()
    data = bytearray(path.read_bytes())
    data[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(data)
    assert [state for state, _ in said(storage.look, settings_in(house), "queue file")] == ["fault"]


def test_limits(house: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few, many = (
        msgspec.structs.replace(settings_in(house), pool=msgspec.structs.replace(settings_in(house).pool, workers=n))
        for n in (1, 10_000)
    )
    assert [state for state, _ in said(machine.limits, few, "memory")] == ["ok"]
    assert [state for state, _ in said(machine.limits, many, "memory")] == ["warning"]
    assert (soft, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
    assert [state for state, _ in said(machine.limits, few, "open files")] == ["ok" if hard >= 4096 else "warning"]


def test_control_groups(tmp_path: Path) -> None:
    for place in ("", "memory"):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / "memory.max").write_text("300000000\n")
    assert set(machine.control_group_bytes(tmp_path)) == {300_000_000}
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory/memory.max").unlink()
    assert list(machine.control_group_bytes(tmp_path)) == []


@pytest.mark.parametrize(
    ("days", "state", "words"), [(90, "ok", "ends 20"), (3, "warning", "ends 20"), (-1, "fault", "has expired")]
)
def test_the_servers_certificate(tmp_path: Path, days: int, state: str, words: str) -> None:
    both = str(Authority(tmp_path).server_file("pictures.test", expires_in=timedelta(days=days)))
    [found] = certificates.own(ApiConfig(tls_cert=both, tls_key=both))
    assert (found.about, found.state, words in found.detail) == ("tls_cert", state, True)
    assert list(certificates.own(ApiConfig())) == []


def test_keys_by_tls_and_who_can_read_its_key(house: Path) -> None:
    both = Authority(house).server_file("pictures.test")
    flags = ("--tls-cert", str(both), "--tls-key", str(both), "--api-key-file", str(house / "keys"))
    assert [state for state, _ in said(exposure.look, settings_in(house, *flags), "host")] == ["ok"]
    both.chmod(0o644)
    assert [state for state, _ in said(files.look, settings_in(house, *flags), "tls_key")] == ["fault"]
    both.chmod(0o600)
    assert said(files.look, settings_in(house, *flags), "tls_key") == []


def test_a_proxy_has_to_guard(house: Path) -> None:
    assert said(exposure.look, settings_in(house), "proxy") == []
    found = said(exposure.look, settings_in(house, "--proxy", "http://me:secret@127.0.0.1:3128"), "proxy")
    assert [(state, "has to refuse" in detail) for state, detail in found] == [("ok", True)]
    assert "secret" not in str(found)


def test_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {one.about for one in installation.look()} == {"packages", "expat", "fast JPEG", "HEIC"}
    assert {one.state for one in installation.look()} <= {"ok", "warning"}
    monkeypatch.setattr(installation, "MODULES", ("no_such_module",))
    [found] = [one for one in installation.look() if one.about == "packages"]
    assert (found.state, found.detail) == (
        "fault",
        "no_such_module cannot be imported: No module named 'no_such_module'",
    )


def with_credential(house: Path, text: str) -> Settings:
    (house / "token").write_text("t0ken")
    (house / "settings.toml").write_text(f'[credential.cdn]\ntype = "bearer"\nsecret_file = "token"\n{text}\n')
    return settings_in(house, "--config", str(house / "settings.toml"), "--api-key-file", str(house / "keys"))


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        ('["https://h.test/", "http://127.0.0.1:8000/", "http://localhost/"]', None),
        ('["https://h.test/", "http://h.test/a/"]', "travels to http://h.test/a/ unencrypted"),
        ('["https://h.test/"]\nprincipals = ["shop", "shpo"]', "no key has the name shpo"),
    ],
)
def test_where_a_credential_goes_and_whose_it_is(house: Path, urls: str, words: str | None) -> None:
    (house / "keys").write_text("shop:0123456789abcdef0\n")
    found = said(exposure.look, with_credential(house, f"for = {urls}"), "credential.cdn")
    assert [(state, (words or "") in detail) for state, detail in found] == ([("warning", True)] if words else [])


@pytest.mark.parametrize(
    ("host", "principals", "expected"),
    [
        ("shop.test", ["shop"], []),
        ("10.0.0.7", ["shop"], [("fault", "no message can be sent: The address 10.0.0.7 is not a public one")]),
        ("shop.test:81", ["shop"], [("fault", "no message can be sent: Port 81 is not open to transfers")]),
        ("shop.test", ["shpo"], [("warning", "no key has the name shpo")]),
    ],
)
def test_whether_a_webhook_can_be_told(
    house: Path, host: str, principals: list[str], expected: list[tuple[str, str]]
) -> None:
    (house / "secret").write_text("whsec_" + "QUFB" * 8)
    (house / "keys").write_text("shop:0123456789abcdef0\n")
    credential = f'[credential.hooks]\ntype = "webhook"\nsecret_file = "secret"\nfor = ["http://{host}/"]\n'
    webhook = f'[webhook.shop]\nurl = "http://{host}/in?token=t"\nprincipals = {principals}\n'
    (house / "settings.toml").write_text(f"{credential}principals = {principals}\n{webhook}")
    settings = settings_in(house, "--config", str(house / "settings.toml"), "--api-key-file", str(house / "keys"))
    assert said(exposure.look, settings, "webhook.shop") == expected


@pytest.mark.parametrize(("mode", "states"), [(0o600, []), (0o640, []), (0o644, ["fault"])])
def test_who_can_read_a_secret(house: Path, mode: int, states: list[str]) -> None:
    settings = with_credential(house, 'for = ["https://h.test/"]')
    (house / "token").chmod(mode)
    assert [state for state, _ in said(files.look, settings, "credential.cdn")] == states


def test_a_data_directory_without_the_queue_may_be_lost(house: Path) -> None:
    """Memory is good enough for a control socket."""
    there = settings_in(house, "--queue", "postgresql://db.test/jobs")
    assert [one.about for one in storage.look(there)] == ["data_dir", "server"]
    (house / "data").rmdir()
    assert [one.about for one in storage.look(there)] == ["data_dir"]


def test_a_queue_file_after_its_jobs_were_moved_is_told(house: Path) -> None:
    """A server without the setting would begin an empty queue, and nobody would see why its jobs are gone."""
    moved = house / "data" / LEFT_NAME
    moved.touch(0o600)
    first, _ = said(storage.look, settings_in(house), "queue file")
    assert first == ("warning", f"the jobs were moved into a database ({moved}), and a queue file does not have them")
    assert said(storage.look, settings_in(house, "--queue", "postgresql://db.test/jobs"), "queue file") == []
    moved.unlink()
    assert said(storage.look, settings_in(house), "queue file") == [("ok", "none yet, the first start makes it")]


async def test_jobs_in_a_file_beside_the_database_are_named(house: Path) -> None:
    place = SqliteHouse(house / "data")
    entry = await released(await place.open())
    await place.crash()
    there = settings_in(house, "--queue", "postgresql://db.test/jobs")
    (left,) = said(storage.look, there, "queue file")
    assert left == ("warning", f"{house}/data/queue.sqlite still has 1 job, which no server carries out")
    queue = await place.open()
    claim = await claimed(queue)
    assert claim.number == entry.number
    await queue.settle(ended(claim, "delivered"), START)
    await place.crash()
    assert said(storage.look, there, "queue file") == []


def test_the_bucket_of_uploads_is_asked(house: Path) -> None:
    habit = Habit()
    with ObjectStore(habit) as store:
        place = f"{store.url}/uploads"
        own = msgspec.structs.replace(credential_for(store.endpoint, place), principals=(OPERATOR_ID,))
        bare = msgspec.structs.replace(settings_in(house), uploads=UploadConfig(place))
        settings = msgspec.structs.replace(bare, credentials={"store": own})
        assert said(uploads.look, settings, "uploads") == [("ok", f"{place} answers")]
        assert habit.methods == "HEAD"
        unread = msgspec.structs.replace(own, secret=Secret(""))
        [(state, _)] = said(uploads.look, msgspec.structs.replace(bare, credentials={"store": unread}), "uploads")
        assert state == "unknown"
    [(state, detail)] = said(uploads.look, settings, "uploads")
    assert (state, detail.startswith(place)) == ("fault", True)
    assert said(uploads.look, settings_in(house), "uploads") == []
