"""What PostgreSQL itself bears of the queue's kinds of work, without imgserve; method and caveats in README.md here.

    python -m bench.database URL [--seconds S] [--only commits|listeners|claims|dead|connections]

URL is a database of a PostgreSQL on this machine that may be filled, with an account that may VACUUM; the tables are
dropped afterwards. Clients are pgbench's, so that they cost little. CPU is that of the whole server, from /proc.
"""

import argparse
import re
import selectors
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psycopg
from bench import processes

# A job's columns that claims and ends touch, with the index that claims read; the rest is as long as a job's JSON.
_TABLES = """
DROP TABLE IF EXISTS bench_job, bench_row;
CREATE TABLE bench_row (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data text NOT NULL);
CREATE TABLE bench_job (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, status text NOT NULL, run_at float8 NOT NULL,
    token bigint NOT NULL DEFAULT 0, lease_until float8, rest text NOT NULL);
CREATE INDEX bench_due ON bench_job (run_at, number) WHERE status = 'queued';
CREATE INDEX bench_leased ON bench_job (lease_until) WHERE status = 'running';
"""
_DROP = "DROP TABLE IF EXISTS bench_job, bench_row"
_FILL = (
    "INSERT INTO bench_job (status, run_at, rest) SELECT 'queued', n, repeat('x', 1200) FROM generate_series(1, %s) n"
)
_CLAIM = """
UPDATE bench_job SET status = 'running', token = token + 1, lease_until = 60 WHERE number IN (
    SELECT number FROM bench_job WHERE status = 'queued' ORDER BY run_at, number LIMIT {limit} FOR UPDATE SKIP LOCKED)
"""
_SETTLE = "UPDATE bench_job SET status = 'succeeded', lease_until = NULL WHERE number = %s"
_INSERT = "INSERT INTO bench_row (data) VALUES (repeat('x', 1200))"
_SIGNAL = "NOTIFY bench_wake, '12345'"
COMMITS = {
    "no NOTIFY": (f"BEGIN; {_INSERT}; COMMIT;",),
    "NOTIFY in the transaction": (f"BEGIN; {_INSERT}; {_SIGNAL}; COMMIT;",),
    "NOTIFY after the commit": (f"BEGIN; {_INSERT}; COMMIT;", f"{_SIGNAL};"),
    "NOTIFY after it, unsynced": (
        f"BEGIN; {_INSERT}; COMMIT;",
        f"BEGIN; SET LOCAL synchronous_commit = off; {_SIGNAL}; COMMIT;",
    ),
}
CLIENTS = (1, 4, 16, 64)
LISTENERS = (16, 64, 128)
CLAIMED_AT_ONCE = (1, 8)
DEAD_ROWS = (0, 10_000, 100_000)
QUEUED = 200_000
CONNECTIONS = 100
TRIES = 20
_RATE = re.compile(r"^tps = ([0-9.]+) ", re.MULTILINE)


class Load(NamedTuple):
    """``cpu_ms`` of the database server, for one run of the script."""

    per_second: float
    cpu_ms: float


class Database:
    """The measured server. ``pid`` is its first process, whose children serve the connections."""

    def __init__(self, url: str, seconds: int, directory: Path) -> None:
        self.url = url
        self.seconds = seconds
        self._directory = directory
        self._pgbench = _pgbench()
        with self.connect() as connection:
            backend = connection.info.backend_pid
        self.pid = int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url, autocommit=True)

    def load(self, script: Sequence[str], clients: int) -> Load:
        """So many clients run the script again and again, each statement once sent and then known by name."""
        path = self._directory / "script.sql"
        path.write_text("\n".join(script) + "\n")
        command = [self._pgbench, "-n", "-M", "simple", "-T", str(self.seconds), "-c", str(clients), "-j", "1"]
        before_s = self.cpu_s()
        result = subprocess.run([*command, "-f", str(path), self.url], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        rate = _RATE.search(result.stdout)
        assert rate is not None, result.stdout
        per_second = float(rate[1])
        return Load(per_second, (self.cpu_s() - before_s) * 1000 / (per_second * self.seconds))

    def cpu_s(self) -> float:
        """So far, of all its processes: it waits for each that ends."""
        used = processes.cpu(self.pid)
        return used.own_s + used.children_s


def _pgbench() -> str:
    """Debian has it beside the server, on no PATH."""
    found = shutil.which("pgbench") or max(map(str, Path("/usr/lib/postgresql").glob("*/bin/pgbench")), default="")
    assert found, "pgbench is not installed (Debian: postgresql)"
    return found


def commits(database: Database) -> None:
    """A NOTIFY takes a lock of the whole cluster at the commit and keeps it until the commit is on disk."""
    print("one-row transactions a second (CPU ms of the database for each), by connections")
    print("  " + " " * 28 + "".join(f"{clients:>16}" for clients in CLIENTS))
    for title, script in COMMITS.items():
        loads = [database.load(script, clients) for clients in CLIENTS]
        print(f"  {title:<28}" + "".join(f"{load.per_second:>8.0f} ({load.cpu_ms:.2f})" for load in loads), flush=True)


def listeners(database: Database) -> None:
    """Every process that listens in the database is woken by every NOTIFY."""
    print("\nNOTIFY by one connection, unsynced, by listening connections")
    alone = notified(database, 0)
    print(f"  {0:>4}: {alone.per_second:>6.0f}/s, CPU {alone.cpu_ms:.3f} ms", flush=True)
    for count in LISTENERS:
        load = notified(database, count)
        each_us = (load.cpu_ms - alone.cpu_ms) * 1000 / count
        print(
            f"  {count:>4}: {load.per_second:>6.0f}/s, CPU {load.cpu_ms:.3f} ms, {each_us:.1f} us a listener",
            flush=True,
        )


def notified(database: Database, count: int) -> Load:
    """NOTIFY as fast as one connection can, to so many listeners that take what comes."""
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        for _ in range(count):
            listening = stack.enter_context(database.connect())
            listening.execute("LISTEN bench_wake")
            selector.register(listening.fileno(), selectors.EVENT_READ, listening.pgconn)
        is_over = threading.Event()
        thread = threading.Thread(target=_take, args=(selector, is_over))
        thread.start()
        try:
            return database.load((f"BEGIN; SET LOCAL synchronous_commit = off; {_SIGNAL}; COMMIT;",), 1)
        finally:
            is_over.set()
            thread.join()


def _take(selector: selectors.BaseSelector, is_over: threading.Event) -> None:
    while not is_over.is_set():
        for key, _ in selector.select(0.1):
            key.data.consume_input()
            while key.data.notifies() is not None:
                pass


def claims(database: Database) -> None:
    print("\njobs claimed a second with SKIP LOCKED (CPU ms of the database for each), by connections")
    for limit in CLAIMED_AT_ONCE:
        loads = []
        for clients in CLIENTS:
            with database.connect() as connection:
                _fill(connection, QUEUED)
            loads.append(database.load((_CLAIM.format(limit=limit) + ";",), clients))
        row = "".join(f"{load.per_second * limit:>10.0f} ({load.cpu_ms / limit:.2f})" for load in loads)
        print(f"  {limit} at once {row}", flush=True)
    with database.connect() as connection:
        _fill(connection, 0)
    load = database.load((_CLAIM.format(limit=1) + ";",), 1)
    print(f"  of an empty queue: CPU {load.cpu_ms:.3f} ms a claim", flush=True)


def dead(database: Database) -> None:
    """Claimed jobs leave dead rows at the head of the index; vacuum keeps those that an old snapshot may see."""
    print("\na claim of one job behind dead rows that an open snapshot keeps, ms")
    for rows in DEAD_ROWS:
        with database.connect() as connection, database.connect() as old:
            _fill(connection, rows + TRIES)
            old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            old.execute("SELECT count(*) FROM bench_row")
            connection.execute(_CLAIM.format(limit=rows))
            kept_ms = median(_timed_ms(connection, _CLAIM.format(limit=1)) for _ in range(TRIES))
            old.execute("COMMIT")
            vacuum_ms = _timed_ms(connection, "VACUUM bench_job")
            _fill_more(connection, TRIES)
            after_ms = median(_timed_ms(connection, _CLAIM.format(limit=1)) for _ in range(TRIES))
        print(f"  {rows:>7}: {kept_ms:8.2f}; VACUUM takes {vacuum_ms:.0f} ms, then {after_ms:.2f}", flush=True)


def connections(database: Database) -> None:
    print("\nan idle connection that has made a claim")
    with ExitStack() as stack:
        before_mb = processes.tree_pss_mb(database.pid)
        started = time.monotonic()
        opened = [stack.enter_context(database.connect()) for _ in range(CONNECTIONS)]
        each_ms = (time.monotonic() - started) * 1000 / CONNECTIONS
        for connection in opened:
            connection.execute(_CLAIM.format(limit=1))
        each_mb = (processes.tree_pss_mb(database.pid) - before_mb) / CONNECTIONS
    print(f"  {each_ms:.1f} ms to open it, {each_mb:.1f} MB of memory of its own")


def _fill(connection: psycopg.Connection[tuple[object, ...]], rows: int) -> None:
    connection.execute("TRUNCATE bench_job")
    _fill_more(connection, rows)
    connection.execute("VACUUM ANALYZE bench_job")
    connection.execute("CHECKPOINT")


def _fill_more(connection: psycopg.Connection[tuple[object, ...]], rows: int) -> None:
    connection.execute(_FILL, (rows,))


def _timed_ms(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> float:
    started = time.monotonic()
    connection.execute(statement)
    return (time.monotonic() - started) * 1000


EXPERIMENTS: dict[str, Callable[[Database], None]] = {
    "commits": commits,
    "listeners": listeners,
    "claims": claims,
    "dead": dead,
    "connections": connections,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("bench.database", description="The bottlenecks of PostgreSQL as a queue.")
    parser.add_argument("url")
    parser.add_argument("--seconds", type=int, default=3, help="of each load (default: %(default)s)")
    parser.add_argument("--only", choices=EXPERIMENTS, action="append", help="(default: all)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="imgserve-bench-") as directory:
        database = Database(options.url, options.seconds, Path(directory))
        with database.connect() as connection:
            connection.execute(_TABLES)
        for name in options.only or EXPERIMENTS:
            EXPERIMENTS[name](database)
        with database.connect() as connection:
            connection.execute(_DROP)


if __name__ == "__main__":
    main()
