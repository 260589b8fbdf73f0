"""The place of the queue, and the role of one server of several: which values make sense, and what is shown."""

from pathlib import Path

import pytest

from imgserve.jobs import queue_url
from imgserve.setting import Secret
from tests.unit.settings.test_settings import faults, loaded

PLAIN = "postgresql://imgserve@db.test/jobs"


def test_a_url_arrives_with_its_password_and_without_is_shown() -> None:
    url, direct = "postgresql://me:s3cret@a,b:6432/jobs", "postgresql://me:s3cret@a:5432/jobs"
    place = loaded("--queue", url, IMGSERVE_QUEUE_DIRECT=direct).queue_address
    assert (place.url, place.direct, place.shown) == (url, direct, "postgresql://me@a,b:6432/jobs")
    assert "s3cret" not in repr(loaded("--queue", url, "--queue-direct", direct))


def test_the_password_comes_from_a_file_or_a_variable(tmp_path: Path) -> None:
    held = tmp_path / "password"
    held.write_text("s3cret\n")
    by_file = loaded("--queue", PLAIN, "--queue-password-file", str(held))
    assert by_file.queue_address.password == Secret("s3cret", str(held))
    by_variable = loaded("--queue", PLAIN, IMGSERVE_QUEUE_PASSWORD_ENV="PGPASS", PGPASS="s3cret")
    assert by_variable.queue_address.password == Secret("s3cret")
    assert "s3cret" not in repr((by_file, by_variable))


def test_only_one_password(tmp_path: Path) -> None:
    held = tmp_path / "password"
    held.write_text("s3cret")
    words = "--queue-password-file", str(held)
    for url in ("postgresql://me:pw@db.test/jobs", "postgresql://db.test/jobs?user=me&password=pw"):
        (fault,) = faults("--queue", url, *words)
        assert fault == "--queue-password-file: expected only one password, and the URL has one"


def test_only_a_shared_queue_has_roles() -> None:
    assert loaded("--queue", PLAIN, "--role", "api").role == "api"
    (fault,) = faults("--role", "api")
    assert fault == "--role: expected all: only a queue on PostgreSQL is shared by several servers"
    (fault,) = faults("--queue", PLAIN, "--role", "worker")
    assert fault == "--role: expected one of all, api, runner, got worker"


def test_beside_a_file_nothing_of_a_database(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret")
    (fault,) = faults("--queue-uploads", "database")
    assert fault == "--queue-uploads: expected only beside a queue on PostgreSQL"
    found = faults("--queue-direct", PLAIN, "--queue-password-file", str(tmp_path / "password"))
    assert sorted(found) == [
        "--queue-direct: expected only beside a queue on PostgreSQL",
        "--queue-password-file: expected only beside a queue on PostgreSQL",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "postgres", "mysql://me:s3cret@db.test/jobs", "host=db.test password=s3cret",
        "postgresql://me:s3 cret@db.test/jobs",
        "postgresql://me:s3@cret@db.test/jobs", "postgresql://me:s3/cret@db.test/jobs",
        "postgresql://db.test/jobs?p%61ssword=s3cret", "postgresql://me:s3cret%zz@db.test/jobs",
        "postgresql://me@db.test/jobs?s3cret",
    ],
)  # fmt: skip
def test_no_address_and_nothing_of_it_is_repeated(url: str) -> None:
    (fault,) = faults("--queue", url)
    assert fault.startswith("--queue: expected ")
    assert "cret" not in fault


def test_an_option_that_libpq_does_not_have() -> None:
    (fault,) = faults("--queue", f"{PLAIN}?sslmod=require")
    assert fault == "--queue: libpq has no option 'sslmod' (did you mean sslmode?)"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (PLAIN, PLAIN),
        ("postgres://me:p%40w@[::1]:5432,[::2]/jobs", "postgres://me@[::1]:5432,[::2]/jobs"),
        ("postgresql:///jobs?host=/run/postgresql&password=pw", "postgresql:///jobs?host=/run/postgresql"),
        ("postgresql://a/jobs?password=pw&sslpassword=pw&sslmode=require", "postgresql://a/jobs?sslmode=require"),
        ("postgresql://a/jobs?password=pw", "postgresql://a/jobs"),
        ("postgresql://:pw@a/jobs", "postgresql://@a/jobs"),
        ("postgresql://a/jobs?sslmode=require", "postgresql://a/jobs?sslmode=require"),
        ("postgresql://?service=jobs&passfile=/etc/pw", "postgresql://?service=jobs&passfile=/etc/pw"),
    ],
)
def test_what_is_shown(url: str, expected: str) -> None:
    assert queue_url.fault_of(url) == ""
    assert queue_url.shown(url) == expected
    assert queue_url.has_password(url) == (url != expected)


def test_an_empty_list_of_options_is_no_password() -> None:
    assert not queue_url.has_password(f"{PLAIN}?")
