"""Whether one checkout costs more than another; method and caveats in README.md beside this file.

    python -m bench.compare OLD NEW [--rounds N] [--jobs N] [--keys N] [--placeholder none] ...

OLD and NEW are directories of two checkouts, each with its own .venv. Both servers run at the same time; each round
loads them in turns, A B B A, so that a steady drift of the machine falls on both. The ratio NEW / OLD of a round is
one figure. Printed are the median over the rounds and its 95 % interval, by the bootstrap's percentile method
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
"""

import argparse
import contextlib
import random
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import uvloop
from bench.load import Load, Measured
from bench.peers import Peers
from bench.picture import photo
from tests.support.daemon import LOOPBACK, Daemon

LEAST_ROUNDS, ENOUGH_ROUNDS = 10, 30
MOST_WORSE = 1.02
RESAMPLES, SEED = 4000, 2011


class Side(NamedTuple):
    """One checkout and how its server is asked."""

    name: str
    checkout: Path
    keys: int
    settings: dict[str, object]

    @property
    def python(self) -> str:
        return str(self.checkout / ".venv/bin/python")


class Cost(NamedTuple):
    """Of one side in one round. CPU is milliseconds a job."""

    server_ms: float
    workers_ms: float
    per_second: float

    @property
    def cpu_ms(self) -> float:
        return self.server_ms + self.workers_ms


class Round(NamedTuple):
    old: Cost
    new: Cost


class Interval(NamedTuple):
    """Of the median, at 95 %."""

    low: float
    middle: float
    high: float


class WrongCheckout(Exception):
    """A directory that is no checkout with a .venv of its own."""


def cost(one: Measured, other: Measured) -> Cost:
    """Of two loads of the same number of jobs."""
    return Cost(
        (one.server_ms + other.server_ms) / 2,
        (one.workers_ms + other.workers_ms) / 2,
        (one.jobs + other.jobs) / (one.seconds + other.seconds),
    )


def interval(values: Sequence[float]) -> Interval:
    """Bootstrap, percentile method: medians of samples drawn with replacement, their 2.5 and 97.5 percentiles."""
    chance = random.Random(SEED)
    medians = sorted(median(chance.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return Interval(medians[RESAMPLES // 40], median(values), medians[-RESAMPLES // 40 - 1])


def verdict(ratio: Interval, rounds: int) -> str:
    """On the ratio of CPU a job: not worse by more than 2 %, or not."""
    words = "not worse by more than 2 %"
    if ratio.high < MOST_WORSE:
        return f"{words}: met, the interval lies below {MOST_WORSE}"
    if ratio.low >= MOST_WORSE:
        return f"{words}: MISSED, the interval lies above {MOST_WORSE}"
    if rounds < ENOUGH_ROUNDS:
        return (
            f"{words}: undecided, the interval has {MOST_WORSE} in it; --rounds {ENOUGH_ROUNDS} lets the median decide"
        )
    is_met = ratio.middle < MOST_WORSE
    return f"{words}: {'met' if is_met else 'MISSED'} by the median of {rounds} rounds, the machine being noisy"


def check(side: Side) -> None:
    """The checkout's interpreter must run the checkout's code. Raises WrongCheckout."""
    try:
        told = subprocess.run(
            [side.python, "-c", "import imgserve; print(imgserve.__file__)"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise WrongCheckout(f"{side.checkout}: {side.python} cannot import imgserve; run make setup there") from error
    if not Path(told.stdout.strip()).is_relative_to(side.checkout):
        raise WrongCheckout(f"{side.checkout}: its .venv runs {told.stdout.strip()}; run make setup there")


@contextlib.contextmanager
def serving(side: Side, directory: Path, workers: int, peers: Peers) -> Iterator[Load]:
    keys = [secrets.token_hex(16) for _ in range(side.keys)]
    arguments = list(LOOPBACK)
    if keys:
        file = directory / f"keys-{side.name}"
        file.touch(mode=0o600)
        file.write_text("".join(f"key{number} {key}\n" for number, key in enumerate(keys)))
        arguments += ["--api-key-file", str(file)]
    server = Daemon(
        directory / side.name, *arguments, workers=workers, switches=side.settings, python=side.python,
        environment={"PYTHONPATH": ""},
    )  # fmt: skip
    with server:
        yield Load(server.url, server.pid, peers, keys or [""])


async def measure(old: Load, new: Load, options: argparse.Namespace) -> Round:
    has_placeholder = options.placeholder != "none"
    a, b, c, d = [
        await load.run(options.jobs, options.under_way, has_placeholder=has_placeholder)
        for load in (old, new, new, old)
    ]
    return Round(cost(a, d), cost(b, c))


async def bench(sides: Sequence[Side], options: argparse.Namespace, directory: Path) -> list[Round]:
    peers = Peers(photo())
    await peers.start()
    rounds = []
    with contextlib.ExitStack() as running:
        old, new = (running.enter_context(serving(side, directory, options.workers, peers)) for side in sides)
        for load in (old, new):
            await load.run(4 * options.under_way, options.under_way, has_placeholder=options.placeholder != "none")
        for number in range(1, options.rounds + 1):
            rounds.append(await measure(old, new, options))
            show_round(number, rounds[-1])
    peers.close()
    return rounds


def show_round(number: int, one: Round) -> None:
    told = ", ".join(
        f"{name} {side.server_ms:.2f} + {side.workers_ms:.2f} ms, {side.per_second:.0f}/s"
        for name, side in zip(("old", "new"), one, strict=True)
    )
    print(f"round {number}: {told}; CPU {one.new.cpu_ms / one.old.cpu_ms:.3f}", flush=True)


def show(rounds: Sequence[Round]) -> None:
    print(f"\n{'':<22} {'old':>9} {'new':>9}   new / old, 95 % interval of the median")
    measures = (
        ("CPU ms a job", [(one.old.cpu_ms, one.new.cpu_ms) for one in rounds]),
        ("  of the server", [(one.old.server_ms, one.new.server_ms) for one in rounds]),
        ("  of the workers", [(one.old.workers_ms, one.new.workers_ms) for one in rounds]),
        ("jobs a second", [(one.old.per_second, one.new.per_second) for one in rounds]),
    )
    for title, pairs in measures:
        ratio = interval([new / old for old, new in pairs])
        middles = f"{median(old for old, _ in pairs):>9.2f} {median(new for _, new in pairs):>9.2f}"
        print(f"{title:<22} {middles}   {ratio.middle:.3f} ({ratio.low:.3f}-{ratio.high:.3f})")
    print(verdict(interval([one.new.cpu_ms / one.old.cpu_ms for one in rounds]), len(rounds)))


def setting(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, value


def many_rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < LEAST_ROUNDS:
        raise argparse.ArgumentTypeError(f"expected a whole number from {LEAST_ROUNDS} up, got {text!r}")
    return int(text)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench.compare", description="CPU and jobs a second of two checkouts.")
    parser.add_argument("old", type=Path, help="directory of a checkout with its .venv")
    parser.add_argument("new", type=Path, help="directory of another, or the same")
    parser.add_argument("--rounds", type=many_rounds, default=LEAST_ROUNDS, help="default: %(default)s, the least")
    parser.add_argument("--jobs", type=int, default=300, help="in each of a round's four loads (default: %(default)s)")
    parser.add_argument("--under-way", type=int, default=16, help="jobs at once (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="render workers (default: %(default)s)")
    parser.add_argument("--keys", type=int, default=0, help="API keys that post in turns, job by job (default: none)")
    parser.add_argument("--old-keys", type=int, help="other than --keys for OLD, to see what more of them cost")
    parser.add_argument("--placeholder", choices=("image", "none"), default="image")
    for side in ("old", "new"):
        parser.add_argument(f"--{side}-setting", type=setting, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--data-dir", help="on the disk to measure (default: a temporary directory)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends the bench ends its servers too
    old_keys = options.keys if options.old_keys is None else options.old_keys
    sides = (
        Side("old", options.old.resolve(), old_keys, dict(options.old_setting)),
        Side("new", options.new.resolve(), options.keys, dict(options.new_setting)),
    )
    try:
        for side in sides:
            check(side)
    except WrongCheckout as error:
        sys.exit(f"bench.compare: {error}")
    with tempfile.TemporaryDirectory(prefix="imgserve-bench-", dir=options.data_dir) as directory:
        show(uvloop.run(bench(sides, options, Path(directory))))


if __name__ == "__main__":
    main()
