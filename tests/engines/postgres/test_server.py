"""The PostgreSQL of the tests: what they rely on when they kill it, freeze it or take a database of it."""

import select
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.support.certificates import Authority
from tests.support.postgres import PASSWORD, Postgres
from tests.support.sizes import PATIENCE_S


def test_databases_are_apart_and_belong_to_a_plain_role(postgres: Postgres) -> None:
    one, two = postgres.database(), postgres.database()
    with psycopg.connect(postgres.url(one), autocommit=True) as connection:
        connection.execute("CREATE TABLE t (a int)")
        connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE nobody_else")
    assert postgres.execute("SELECT count(*) FROM pg_tables WHERE tablename = 't'", two) == [(0,)]
    copy = postgres.database(template=one)
    assert postgres.execute("SELECT a FROM t", copy) == [(1,)]
    for name in (one, two, copy):
        postgres.drop(name)


def test_a_reset_database_is_as_it_was_remembered(postgres: Postgres) -> None:
    name = postgres.database()
    with psycopg.connect(postgres.url(name)) as maker:
        maker.execute("CREATE TABLE one (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text)")
        maker.execute("CREATE TABLE two (one bigint NOT NULL REFERENCES one)")
        maker.execute("INSERT INTO one (a) VALUES ('first')")
    postgres.remember(name)
    for _ in range(2):
        with closing(psycopg.connect(postgres.url(name))) as client:
            client.execute("UPDATE one SET a = 'changed'")
            assert client.execute("INSERT INTO one (a) VALUES ('second') RETURNING id").fetchall() == [(2,)]
            client.execute("INSERT INTO two SELECT id FROM one")
            client.commit()
            client.execute("SELECT * FROM one FOR UPDATE")  # a lock that it keeps
            postgres.reset(name)
            assert postgres.execute("SELECT * FROM one", name) == [(1, "first")]
            assert postgres.execute("SELECT * FROM two", name) == []
            with pytest.raises(psycopg.errors.AdminShutdown):
                client.execute("SELECT 1")
    postgres.drop(name)


def test_a_role_with_a_password_has_to_give_it(postgres: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(postgres.url("postgres", "other"))
    psycopg.connect(postgres.url("postgres", "other"), password=PASSWORD).close()


def test_a_killed_server_recovers_what_was_committed(postgres: Postgres) -> None:
    postgres.execute("CREATE TABLE kept (a int)")
    with psycopg.connect(postgres.url("postgres", "postgres")) as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
        connection.commit()
        connection.execute("INSERT INTO kept VALUES (2)")
        postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    postgres.start()
    assert postgres.execute("SELECT a FROM kept") == [(1,)]
    assert "database system was not properly shut down" in postgres.log.read_text()


def test_a_frozen_server_keeps_its_connections_and_answers_nobody(postgres: Postgres) -> None:
    with closing(psycopg.connect(postgres.url("postgres"), autocommit=True)) as connection:
        postgres.freeze()
        connection.pgconn.send_query(b"SELECT 1")
        assert select.select([connection], [], [], 0.2)[0] == []
        postgres.thaw()
        assert select.select([connection], [], [], PATIENCE_S)[0] == [connection]


def test_it_does_not_run_as_root(postgres: Postgres) -> None:
    assert Path(f"/proc/{postgres.pid}").stat().st_uid != 0


def test_tls_with_a_certificate_of_the_tests(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with Postgres() as server:
        assert server.execute("SHOW fsync") == [("on",)]
        server.certify(authority.server_file("127.0.0.1"))
        server.restart()
        url = server.url("postgres")
        with psycopg.connect(url, sslmode="verify-full", sslrootcert=str(authority.ca_file)) as connection:
            assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            psycopg.connect(url, sslmode="verify-full", sslrootcert=str(Authority(tmp_path, "another").ca_file))
