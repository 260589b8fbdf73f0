"""What the kernel was asked for, in order (strace): a job is on disk, or its database has confirmed it, before anybody
hears of it; a file's bytes are on disk before its name is.
"""

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.chaos.lane import KINDS, Lane, Place
from tests.chaos.outputs import accept, faults, is_over, prepared
from tests.support.daemon import wait_until
from tests.support.postgres_house import NewQueue
from tests.support.sizes import Figures, sized

CALLS = "trace=fdatasync,fsync,write,writev,pwrite64,sendto,sendmsg,recvfrom,rename,renameat,renameat2,openat,openat2"
# How many jobs of one output, and the outputs of those with several.
SIZES = {
    "sqlite": sized((8, (2, 20)), (1000, (2, 20) * 50)),
    "postgres": sized((4, (2,)), (1000, (2, 20) * 50)),
}
# From PostgreSQL: that the transaction was committed
# (https://www.postgresql.org/docs/current/protocol-message-formats.html, CommandComplete).
COMMITTED = r"C\0\0\0\vCOMMIT\0"
_UNFINISHED = re.compile(r"^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$", re.DOTALL)
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_WHOLE = re.compile(r"^(\d+) +(\w+)\((.*)$", re.DOTALL)
_NAMES = re.compile(r"good-\d+|p\d+(?:-\d+)?")
_REPLY = re.compile(r'\\"(dstURL|outputs)\\":')
WAL = "queue.sqlite-wal"
_SYNCED = re.compile(r"^\d+<(?:.*/)?([^/]+)>\) += 0$")
_SOCKET = re.compile(r"^\d+<((?:TCP|socket):\[[^]]*\])>")


class Call(NamedTuple):
    """A system call with its arguments as strace prints them; the lines of the trace on which it began and ended."""

    name: str
    text: str
    began: int
    ended: int

    @property
    def socket(self) -> str:
        """The connection that it was about, by its ends; empty for a file."""
        match = _SOCKET.match(self.text)
        return match[1] if match else ""


def calls_of(lines: Iterable[str]) -> Iterator[Call]:
    """In the order in which they ended."""
    begun: dict[str, tuple[str, str, int]] = {}
    for at, line in enumerate(lines):
        if match := _UNFINISHED.match(line):
            begun[match[1]] = (match[2], match[3], at)
        elif match := _RESUMED.match(line):
            name, text, began = begun.pop(match[1], (match[2], "", 0))
            yield Call(name, text + match[3], began, at)
        elif match := _WHOLE.match(line):
            yield Call(match[2], match[3], at, at)


class Trace:
    """Calls by what they name, so that a thousand jobs need not each look at all of them."""

    def __init__(self, calls: Iterable[Call], database: str = "") -> None:
        """``database``: host and port of the one that has the queue; without it a file has."""
        self._database = database
        self._naming: dict[str, list[Call]] = defaultdict(list)
        self._syncs: dict[str, list[Call]] = defaultdict(list)
        self._commits: list[Call] = []
        for call in calls:
            if call.name in ("fsync", "fdatasync"):
                if went_well := _SYNCED.search(call.text):
                    self._syncs[went_well[1]].append(call)
            elif call.name == "recvfrom":
                if COMMITTED in call.text and self._is_to_database(call):
                    self._commits.append(call)
            else:
                for name in set(_NAMES.findall(call.text)):
                    self._naming[name].append(call)

    def naming(self, name: str) -> Sequence[Call]:
        return self._naming[name]

    def first(self, name: str, what: str, fits: Callable[[Call], bool]) -> Call:
        found = next((call for call in self._naming[name] if fits(call)), None)
        assert found is not None, f"the trace shows no {what}"
        return found

    def synced(self, name: str, after: int) -> Call:
        """The first sync of a file or directory that began after ``after`` and went well."""
        found = next((call for call in self._syncs[name] if call.began > after), None)
        assert found is not None, f"the trace shows no sync of {name}"
        return found

    def stored(self, source: str, places: Iterable[str]) -> Call:
        """By which the rows of a job and of its outputs were safe."""
        if not self._database:
            rows = [
                self.first(name, f"row of {name}", lambda call: call.name == "pwrite64" and WAL in call.text)
                for name in (source, *places)
            ]
            return self.synced(WAL, max(row.ended for row in rows))
        job = self.first(source, f"row of {source}", self._is_to_database)
        outputs = [self.first(name, f"row of {name}", self._is_row_of_output) for name in places]
        last = max(row.ended for row in (job, *outputs))
        answers = (call for call in self._commits if call.socket == job.socket and call.ended > last)
        found = next(answers, None)
        assert found is not None, f"the database confirmed no row of {source}"
        return found

    def is_sent(self, call: Call) -> bool:
        """To a destination, or to the caller."""
        is_out = call.name in ("write", "writev", "sendto", "sendmsg")
        return is_out and bool(call.socket) and not self._is_to_database(call)

    def _is_to_database(self, call: Call) -> bool:
        return bool(self._database) and call.socket.endswith(f"->{self._database}]")

    def _is_row_of_output(self, call: Call) -> bool:
        return self._is_to_database(call) and r"{\"recipe\":" in call.text


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(("new_queue", "engine"), [(name, name) for name in SIZES], indirect=["new_queue"], ids=SIZES)
def test_disk_before_network_and_bytes_before_names(
    tmp_path: Path, figures: Figures, new_queue: NewQueue, engine: str
) -> None:
    several: tuple[int, ...]
    jobs, several = SIZES[engine]
    trace, queue = tmp_path / "trace", new_queue()
    with Lane(tmp_path / "lane", queue=queue) as lane:
        places = [lane.place(KINDS[number % 4], f"p{number}") for number in range(jobs)]
        command = ["strace", "-f", "-yy", "-s", "32768", "-e", CALLS, "-o", str(trace), "-p", str(lane.daemon.pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            told = strace.stderr.readline()
            assert "attached" in told, told
            for number, place in enumerate(places):
                lane.accept(lane.job(number, place, f"plain/good-{number}.png"))
                lane.until_ended([number])
            many = [prepared(lane, f"p{jobs + index}", count) for index, count in enumerate(several)]
            for posted in many:
                accept(lane, posted, f"plain/good-{posted.numbers[0]}.png")
                wait_until(partial(is_over, lane, posted))
            assert lane.daemon.stop() == 0
            strace.communicate(timeout=20)
        assert lane.faults(range(jobs)) == []
        assert [fault for posted in many for fault in faults(lane, posted, refuses="final")] == []
    with trace.open(errors="replace") as lines:
        calls = Trace(calls_of(line.rstrip("\n") for line in lines), urlsplit(queue).netloc.rpartition("@")[2])
    for number, place in enumerate(places):
        check_job(calls, f"good-{number}", [place], '{\\"dstURL\\":')
    for posted in many:
        check_job(calls, f"good-{posted.numbers[0]}", posted.places, '\\"outputs\\":')
    places += [place for posted in many for place in posted.places]
    of_files = [check_file(calls, place) for place in places if place.kind == "file"]
    assert all(of_files)
    figures("jobs", jobs)
    figures("outputs of jobs with several", sum(several))


def name_of(place: Place) -> str:
    return place.path.stem if place.kind == "form" else place.path.parent.name


def check_job(calls: Trace, source: str, places: Sequence[Place], reply_sign: str) -> None:
    """The rows of the job and of all its outputs were safe before the first byte to any destination, and that before
    the reply.
    """
    sync = calls.stored(source, map(name_of, places))
    words = [calls.first(name_of(place), f"word to {place.name}", partial(is_word, calls, place)) for place in places]
    named = name_of(places[-1])
    reply = calls.first(named, f"reply about {named}", lambda call: calls.is_sent(call) and reply_sign in call.text)
    for place, word in zip(places, words, strict=True):
        assert sync.ended < word.began, f"{place.name} was told before the job was safe"
        assert word.began < reply.began, f"the reply came before the placeholder at {place.name}"
    assert sync.ended < reply.began, f"the caller of {source} was told before the job was safe"


def is_word(calls: Trace, place: Place, call: Call) -> bool:
    name = name_of(place)
    if place.kind == "file":
        is_new = call.name in ("openat", "openat2") and "O_CREAT" in call.text
        return is_new and f"{place.path.parent}" in call.text and ".imgserve-" in call.text
    sign = {"form": place.path.name, "put": f"PUT /{place.name}", "ftp": f"CWD {name}"}[place.kind]
    return calls.is_sent(call) and sign in call.text and not _REPLY.search(call.text)


def check_file(calls: Trace, place: Place) -> bool:
    """Each rename comes after its file's sync, and the directory's sync after it. Whether there were two."""
    renames = [
        call
        for call in calls.naming(name_of(place))
        if call.name.startswith("rename") and str(place.path.parent) in call.text and "out.png" in call.text
    ]
    for rename in renames:
        temporary = re.search(r'"(\.imgserve-[\w-]+)"', rename.text)
        assert temporary is not None, rename
        sync = calls.synced(temporary[1], 0)
        assert sync.ended < rename.began, f"{place.name} had its name before its bytes were on disk"
        calls.synced(place.path.parent.name, rename.ended)
    return len(renames) == 2
