"""What ``imgserve check`` says of the queue's database: one row for each thing that keeps servers from their work."""

from pathlib import Path

import msgspec
import pytest

from imgserve.cli.check import database
from imgserve.cli.check.finding import State
from imgserve.clock import Clock
from imgserve.jobs.config import AddressConfig, Config
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.durability import Durability
from imgserve.jobs.postgres.inspect import Contents, Inspected, Server
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.setting import Secret
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import PASSWORD, Postgres
from tests.support.queues import released
from tests.unit.settings.test_settings import loaded

SERVER = Server("15.8", 150_008, "imgserve", "UTF8", 100, 10, can_create=True)
WELL = Inspected(SERVER, True, False, Durability("on", "on", ""))


def said(*flags: str) -> dict[str, tuple[State, str]]:
    return {one.about: (one.state, one.detail) for one in database.look(loaded(*flags))}


def test_a_database_that_can_be_used(postgres: Postgres) -> None:
    url = postgres.url(postgres.database())
    findings = list(database.look(loaded("--queue", url)))
    assert {one.about: one.state for one in findings} == {
        "database": "ok", "durability": "fault", "connections": "ok", "rights": "ok",
    }  # fmt: skip
    assert findings[0].detail.startswith(f"{url}: PostgreSQL ")
    assert findings[1].detail.startswith("fsync is off"), "as the tests' own server has it"


def test_what_does_not_answer_is_a_fault_without_its_password(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.url("nothing", "other")
    for address in (url, url.replace(str(postgres.port), "1")):
        found = said("--queue", address.replace("other@", "other:s3cret@"))
        assert list(found) == ["database"]
        state, detail = found["database"]
        assert (state, "s3cret" in detail) == ("fault", False)
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    there = postgres.url(postgres.database(), "other")
    assert said("--queue", there)["database"][0] == "fault"
    assert said("--queue", there, "--queue-password-file", str(tmp_path / "password"))["database"][0] == "ok"


def test_a_password_that_this_user_may_not_read(postgres: Postgres) -> None:
    url = postgres.url(postgres.database(), "other")
    address = AddressConfig(url, Secret("", "/root/password"))
    (finding,) = database.look(msgspec.structs.replace(loaded(), queue_address=address))
    assert (finding.about, finding.state) == ("database", "unknown")


def test_a_password_in_the_url_is_told(postgres: Postgres) -> None:
    url = postgres.url(postgres.database(), "imgserve:pw")
    first, *_ = database.look(loaded("--queue", url))
    assert (first.state, first.hint) == ("warning", "queue_password_file")
    assert "pw" not in first.detail


def test_a_direct_connection_is_looked_at_too(postgres: Postgres) -> None:
    url = postgres.url(postgres.database())
    found = said("--queue", url, "--queue-direct", postgres.url("nothing"))
    assert (found["database"][0], found["queue_direct"][0]) == ("ok", "fault")


def test_a_pooler_needs_a_direct_connection_beside_it(postgres: Postgres) -> None:
    name = postgres.database()
    with PgBouncer(postgres) as pooler:
        for flags, states in [
            (("--queue", pooler.url(name)), ["ok", "warning"]),
            (("--queue", pooler.url(name), "--queue-direct", postgres.url(name)), ["ok"]),
        ]:
            rows = database.look(loaded(*flags))
            assert [one.state for one in rows if one.about == "database"] == states
        found = database.look(loaded("--queue", postgres.url(name), "--queue-direct", pooler.url(name)))
        assert [one.state for one in found if one.about == "queue_direct"] == ["ok", "warning"]


def test_rights(postgres: Postgres) -> None:
    name = postgres.database()
    postgres.execute("CREATE ROLE guest LOGIN", name)
    assert said("--queue", postgres.url(name, "guest"))["rights"][0] == "fault"
    postgres.execute("CREATE SCHEMA imgserve CREATE TABLE job (number int) CREATE TABLE owner (id int)", name)
    postgres.execute("GRANT USAGE, CREATE ON SCHEMA imgserve TO guest; GRANT ALL ON imgserve.owner TO guest", name)
    postgres.execute("GRANT SELECT, INSERT ON imgserve.job TO guest", name)
    rights = said("--queue", postgres.url(name, "guest"))["rights"]
    assert rights == ("fault", "guest may not read and change the tables job")


async def test_the_queue_in_it(postgres: Postgres) -> None:
    url = postgres.url(postgres.database())
    queue = await PostgresQueue.open(Address(url), Config(), Clock())
    await released(queue)
    found = said("--queue", url)
    assert found["schema"] == ("ok", "it has schema 1")
    assert found["nodes"] == ("ok", "1 server at work")
    assert found["queue"][1].startswith("1 job waiting, 0 running")
    (state,) = queue.states()
    assert (state.name, state.detail) == ("queue_not_durable", found["durability"][1])
    await queue.aclose()


@pytest.mark.parametrize(
    ("change", "about", "state"),
    [
        ({"server": msgspec.structs.replace(SERVER, version_number=120_001)}, "database", "warning"),
        ({"server": msgspec.structs.replace(SERVER, encoding="LATIN1")}, "database", "fault"),
        ({"server": msgspec.structs.replace(SERVER, connections=95)}, "connections", "warning"),
        ({"server": msgspec.structs.replace(SERVER, can_create=False)}, "rights", "fault"),
        ({"is_private": False}, "database", "warning"),
        ({"durability": Durability("on", "off", "")}, "durability", "fault"),
        ({"durability": Durability("on", "local", "standby")}, "durability", "fault"),
        ({"durability": Durability("on", "local", "")}, "durability", "ok"),
        ({"contents": Contents(3, 2, 1)}, "schema", "fault"),
        ({"contents": Contents(2, 1, 1)}, "schema", "ok"),
        ({"contents": Contents(1, 1, 2)}, "schema", "ok"),
    ],
)
def test_what_is_wrong_with_a_database(change: dict[str, object], about: str, state: State) -> None:
    usual = {one.about: one.state for one in database.findings(WELL, "database")}
    assert set(usual.values()) == {"ok"}
    changed = {one.about: one.state for one in database.findings(msgspec.structs.replace(WELL, **change), "database")}
    assert changed == {**usual, about: state}
