"""What stands around the PostgreSQL of the tests: a pooler, a standby and a network that can be cut."""

import select
import subprocess
import sys
from contextlib import closing

import psycopg

from tests.support.netns import Namespace
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.sizes import PATIENCE_S
from tests.support.standby import Standby

ASK = """
import sys, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    for line in sys.stdin:
        print(connection.execute(line).fetchone(), flush=True)
"""


def test_clients_of_the_pooler_share_connections(postgres: Postgres) -> None:
    with PgBouncer(postgres, pool_size=1) as pooler:
        for _ in range(2):
            one, two = (psycopg.connect(pooler.url("postgres"), autocommit=True) for _ in range(2))
            with closing(one), closing(two):
                backends = [client.execute("SELECT pg_backend_pid()").fetchone() for client in (one, two)]
                assert backends[0] == backends[1]
            pooler.kill()
            pooler.start()


def test_a_promoted_standby_has_all_that_was_committed() -> None:
    fast = {"fsync": "off"}
    with Postgres(fast) as primary, Standby(primary, fast) as standby:
        name = primary.database()
        standby.make_synchronous()
        with psycopg.connect(standby.both(name), autocommit=True) as client:
            client.execute("CREATE TABLE kept (a int)")
            client.execute("INSERT INTO kept VALUES (1)")
            primary.kill()
        standby.promote()
        with psycopg.connect(standby.both(name), autocommit=True) as client:
            client.execute("INSERT INTO kept VALUES (2)")
            assert client.execute("SELECT a FROM kept").fetchall() == [(1,), (2,)]


def test_a_cut_link_is_silent_until_it_is_mended() -> None:
    with Namespace(links=2) as place:
        addresses = [link.outside for link in place.links]
        with Postgres({"fsync": "off", "listen_addresses": ",".join(["127.0.0.1", *addresses])}) as server:
            urls = [server.url("postgres", host=address) for address in addresses]
            one, two = (_client(*place.command, sys.executable, "-c", ASK, url) for url in urls)
            with one, two:
                assert _answer(one) == _answer(two) == "(1,)\n"
                place.links[0].cut()
                assert _answer(one, 0.5) == ""
                assert _answer(two) == "(1,)\n"
                place.links[0].mend()
                assert _answer(one) == "(1,)\n"


def _client(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


def _answer(client: subprocess.Popen[str], within_s: float = PATIENCE_S) -> str:
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write("SELECT 1\n")
    client.stdin.flush()
    return client.stdout.readline() if select.select([client.stdout], [], [], within_s)[0] else ""
