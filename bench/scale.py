"""How many runners do how much: measured service times, a prediction from them, and what a few runners really do.

    python -m bench.scale times                 measure an API node and one runner; writes times.json beside this file
    python -m bench.scale predict               simulate 1 to 1,000 runners with these times
    python -m bench.scale measure [--runners N] the same loads on this machine, beside their predictions

Method and caveats are in README.md here, the figures in docs/performance.md. ``times`` and ``measure`` start
PostgreSQL, a server that accepts jobs and servers that run them, all on this machine beside source, destination and
client.
"""

import argparse
import asyncio
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop
from bench.cluster import Case, Demand, Layout, Observed, Times, predicted
from bench.database import Database, notified
from bench.figures import percentile
from bench.nodes import Cluster, Used
from bench.peers import Peers
from bench.picture import photo
from tests.support.postgres import Postgres

from imgserve.jobs.config import Config
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue

TIMES_PATH = Path(__file__).with_name("times.json")
CORES = 2
ATTEMPTS = 8
ONE_HOST = 6  # of them go to one destination host: the last quarter is kept for others
RUNNERS_HERE = (1, 2, 4)
# Runners of the first wait for sources, so that they add up on a machine of two cores; the second needs both cores.
CASES = (Case("slow sources", 16, 0.5, 240), Case("fast sources", 12, 0.0, 400))
CALIBRATION = (Case("one at a time", 1, 0.0, 200), Case("eight at a time", 8, 0.0, 400))
ROUNDS = 3

# A machine for each node. A server process keeps about one core busy with small pictures, and its workers 1.4.
MOST_API_NODES = 16  # that is enough for all that the database can do
RUNNERS_ELSEWHERE = (1, 4, 16, 64, 250, 1000)
MACHINE = Layout(1, cores=4, workers=4, slots=6, database_cores=8, network_ms=0.2)
LARGE_MS = 245.0  # CPU of a worker for ten JPEGs of one of 12 megapixels (docs/performance.md)
LEAST_JOBS, JOBS_PER_SLOT = 2_000, 3  # simulated: each place is filled twice after the warm-up
AT_EASE = 0.7  # of the throughput: the load at which time to result is told

SETTINGS = {"track_wal_io_timing": "on", "max_connections": "300"}
TRANSACTIONS = 6  # of a job: enqueue, activate, claim, settle, and the destination's locks for placeholder and final
# Waits of the database for its client, by strace: 18.6 a job with 9.4 commits. All other statements are sent ahead.
ROUND_TRIPS = 2
LEAST_WAIT_MS = 0.1
EMPTY_CLAIMS = 400
LISTENERS = 64


def layout_here(runners: int) -> Layout:
    return Layout(runners, cores=CORES, workers=1, slots=ONE_HOST, is_one_machine=True)


async def times(directory: Path, postgres: Postgres) -> Times:
    """Service times of one runner: CPU of the crowded load, the parts of a commit from both."""
    peers = Peers(photo())
    await peers.start()
    with Cluster(directory, postgres, 1, ATTEMPTS) as cluster:
        alone, crowded = [await least(cluster, peers, case) for case in CALIBRATION]
    peers.close()
    empty_cpu_ms, round_trip_ms = await empty_claim(directory, postgres)
    transaction_ms, commit_ms = parts_of_commit(alone, crowded)
    database = Database(postgres.url(postgres.database()), 2, directory)
    quiet, heard = notified(database, 0), notified(database, LISTENERS)
    values = dict(
        api_cpu_ms=crowded.api,
        intake_worker_cpu_ms=crowded.api_workers,
        runner_cpu_ms=crowded.runners,
        worker_cpu_ms=crowded.workers,
        harness_cpu_ms=crowded.bench,
        transaction_cpu_ms=transaction_ms,
        commit_cpu_ms=commit_ms,
        empty_claim_cpu_ms=empty_cpu_ms,
        round_trips=ROUND_TRIPS,
        round_trip_ms=round_trip_ms,
        flush_ms=alone.flushing / alone.flushes,
        notify_cpu_ms=quiet.cpu_ms,
        listener_us=(heard.cpu_ms - quiet.cpu_ms) * 1000 / LISTENERS,
    )
    return Times(**{name: round(value, 3) for name, value in values.items()})


async def least(cluster: Cluster, peers: Peers, case: Case) -> Used:
    """Of a few rounds the least of each figure: other programs on the machine only add to it."""
    rounds = [(await cluster.observe(peers, case))[1] for _ in range(ROUNDS)]
    return Used(*map(min, zip(*rounds, strict=True)))


def parts_of_commit(alone: Used, crowded: Used) -> tuple[float, float]:
    """CPU milliseconds of the database for a transaction and for a commit, from two loads with other batches.

    Solves database = TRANSACTIONS * transaction + commits * commit for both.
    """
    commit_ms = (alone.database - crowded.database) / (alone.commits - crowded.commits)
    commit_ms = min(max(commit_ms, 0.0), alone.database / alone.commits)
    return (crowded.database - crowded.commits * commit_ms) / TRANSACTIONS, commit_ms


async def empty_claim(directory: Path, postgres: Postgres) -> tuple[float, float]:
    """The database's CPU milliseconds for a claim that finds nothing, and how long each of its round trips waits.

    The wait is what a claim takes beside CPU of either side, by the fastest quarter: others make the rest slower.
    """
    url = postgres.url(postgres.database())
    queue = await PostgresQueue.open(Address(url), Config(), time.time())
    database = Database(url, 1, directory)
    cpu_s, own_s, elapsed_s = database.cpu_s(), time.process_time(), []
    for _ in range(EMPTY_CLAIMS):
        started = time.monotonic()
        await queue.take_work(1, time.time())
        elapsed_s.append(time.monotonic() - started)
    own_ms = (time.process_time() - own_s) * 1000 / EMPTY_CLAIMS
    cpu_ms = (database.cpu_s() - cpu_s) * 1000 / EMPTY_CLAIMS
    await queue.aclose()
    return cpu_ms, max(percentile(elapsed_s, 0.25) * 1000 - cpu_ms - own_ms, LEAST_WAIT_MS) / ROUND_TRIPS


def predict(measured: Times) -> None:
    print("on this machine: jobs/s; time to result: median and 95th percentile in seconds")
    for case in CASES:
        for runners in RUNNERS_HERE:
            show_here(case, runners, predicted(measured, layout_here(runners), case.demand(runners)).observed)
    print(f"\n{MACHINE.cores} cores a node, {MACHINE.database_cores} for PostgreSQL, {MACHINE.network_ms} ms apart")
    for title, worker_ms in (("small pictures", measured.worker_cpu_ms), ("large pictures", LARGE_MS)):
        print(f"{title}, {worker_ms:g} ms: runners, jobs/s, database busy;", end=" ")
        print(f"at {AT_EASE:.0%} of that median and p95, empty claims a job, then if a job woke one idle runner only")
        for runners in RUNNERS_ELSEWHERE:
            show_elsewhere(msgspec.structs.replace(measured, worker_cpu_ms=worker_ms), runners)


def show_here(case: Case, runners: int, seen: Observed) -> None:
    print(f"  {case.title}, {runners}: {seen.per_second:.1f}/s; {seen.median_s:.3f}, {seen.p95_s:.3f} s", flush=True)


def show_elsewhere(measured: Times, runners: int) -> None:
    layout = msgspec.structs.replace(MACHINE, runners=runners, api_nodes=min(runners, MOST_API_NODES))
    slots = runners * layout.slots
    full = predicted(measured, layout, Demand(max(LEAST_JOBS, JOBS_PER_SLOT * slots), 3 * slots // 2))
    print(f"  {runners:>5}: {full.observed.per_second:6.0f}/s, {full.database_busy:4.0%}", end="")
    demand = Demand(LEAST_JOBS, per_second=AT_EASE * full.observed.per_second)
    for wakes in (0, 1):
        eased = predicted(measured, msgspec.structs.replace(layout, wakes=wakes), demand)
        median_ms, p95_ms = eased.observed.median_s * 1000, eased.observed.p95_s * 1000
        print(f"; {median_ms:5.0f}, {p95_ms:5.0f} ms, {eased.empty_claims_per_job:.1f}", end="", flush=True)
    print()


async def measure(measured: Times, directory: Path, postgres: Postgres, counts: Sequence[int]) -> None:
    """Each load on each number of runners, beside what its times predict."""
    peers = Peers(photo())
    await peers.start()
    for runners in counts:
        for case in CASES:
            place = directory / f"{case.title}-{runners}".replace(" ", "-")
            place.mkdir()
            with Cluster(place, postgres, runners, ATTEMPTS) as cluster:
                seen, used = await cluster.observe(peers, case)
            show_here(case, runners, seen)
            here = layout_here(runners)
            prediction = (await asyncio.to_thread(predicted, measured, here, case.demand(runners))).observed
            for name, now, then in zip(Observed._fields, seen, prediction, strict=True):
                print(f"    {name:<11}{now:8.3f}, predicted {then:8.3f}: {then / now - 1:+.0%}")
            print(
                "    CPU ms a job: " + ", ".join(f"{name} {value:.2f}" for name, value in used._asdict().items()),
                flush=True,
            )
    peers.close()


async def carry_out(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="imgserve-bench-") as name, Postgres(SETTINGS) as postgres:
        if options.what == "times":
            found = await times(Path(name), postgres)
            TIMES_PATH.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
            print(found)
        else:
            measured = msgspec.json.decode(TIMES_PATH.read_bytes(), type=Times)
            await measure(measured, Path(name), postgres, options.runners or RUNNERS_HERE)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("bench.scale", description="Throughput and time to result of 1 to 1,000 runners.")
    parser.add_argument("what", choices=("times", "predict", "measure"))
    parser.add_argument("--runners", type=int, action="append", help="(default: 1, 2 and 4)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an end of the bench ends its servers too
    if options.what == "predict":
        predict(msgspec.json.decode(TIMES_PATH.read_bytes(), type=Times))
    else:
        uvloop.run(carry_out(options))


if __name__ == "__main__":
    main()
