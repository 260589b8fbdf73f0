"""What the kernel was asked for, in order (strace): a job is on disk before anybody hears of it, a file's bytes are
before its name is.
"""

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.chaos.lane import KINDS, Lane, Place
from tests.support.sizes import Figures, sized

CALLS = "trace=fdatasync,fsync,write,writev,pwrite64,sendto,sendmsg,rename,renameat,renameat2,openat,openat2"
JOBS = sized(24, 1000)
_UNFINISHED = re.compile(r"^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$", re.DOTALL)
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_WHOLE = re.compile(r"^(\d+) +(\w+)\((.*)$", re.DOTALL)
_NAMES = re.compile(r"good-\d+|p\d+")
_SYNCED = re.compile(r"^\d+<(?:.*/)?([^/]+)>\) += 0$")


class Call(NamedTuple):
    """A system call with its arguments as strace prints them; the lines of the trace on which it began and ended."""

    name: str
    text: str
    began: int
    ended: int


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

    def __init__(self, calls: Iterable[Call]) -> None:
        self._naming: dict[str, list[Call]] = defaultdict(list)
        self._syncs: dict[str, list[Call]] = defaultdict(list)
        for call in calls:
            if call.name in ("fsync", "fdatasync"):
                if went_well := _SYNCED.search(call.text):
                    self._syncs[went_well[1]].append(call)
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


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_disk_before_network_and_bytes_before_names(tmp_path: Path, figures: Figures) -> None:
    trace = tmp_path / "trace"
    with Lane(tmp_path / "lane") as lane:
        places = [lane.place(KINDS[number % 4], f"p{number}") for number in range(JOBS)]
        command = ["strace", "-f", "-y", "-s", "8192", "-e", CALLS, "-o", str(trace), "-p", str(lane.daemon.pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            told = strace.stderr.readline()
            assert "attached" in told, told
            for number, place in enumerate(places):
                lane.accept(lane.job(number, place, f"plain/good-{number}.png"))
                lane.until_ended([number])
            assert lane.daemon.stop() == 0
            strace.communicate(timeout=20)
        assert lane.faults(range(JOBS)) == []
    with trace.open(errors="replace") as lines:
        calls = Trace(calls_of(line.rstrip("\n") for line in lines))
    for number, place in enumerate(places):
        check_job(calls, number, place)
    of_files = [check_file(calls, number, place) for number, place in enumerate(places) if place.kind == "file"]
    assert of_files == [True] * (JOBS // 4)
    figures("jobs", JOBS)


def check_job(calls: Trace, number: int, place: Place) -> None:
    """The row was written and synced before the first byte to the destination and before the reply."""
    row = calls.first(
        f"good-{number}",
        f"row of job {number}",
        lambda call: call.name == "pwrite64" and "queue.sqlite-wal" in call.text and f"good-{number}.png" in call.text,
    )
    sync = calls.synced("queue.sqlite-wal", row.ended)
    sign = {
        "file": f"{place.path.parent}",
        "form": place.path.name,
        "put": f"PUT /{place.name}",
        "ftp": f"CWD p{number}",
    }
    first_byte = calls.first(
        f"p{number}", f"word to destination {number}", lambda call: is_word(call, sign[place.kind], place)
    )
    reply = calls.first(f"p{number}", f"reply {number}", lambda call: is_sent(call) and '{\\"dstURL\\":' in call.text)
    assert sync.ended < first_byte.began, f"job {number}: {place.kind} was told before the row was on disk"
    assert sync.ended < reply.began, f"job {number}: the caller was told before the row was on disk"
    assert first_byte.began < reply.began, f"job {number}: the reply came before the placeholder"


def is_word(call: Call, sign: str, place: Place) -> bool:
    if place.kind == "file":
        is_new = call.name in ("openat", "openat2") and "O_CREAT" in call.text
        return is_new and sign in call.text and ".imgserve-" in call.text
    return is_sent(call) and sign in call.text and "dstURL" not in call.text


def is_sent(call: Call) -> bool:
    return call.name in ("write", "writev", "sendto", "sendmsg") and "<socket:" in call.text[:40]


def check_file(calls: Trace, number: int, place: Place) -> bool:
    """Each rename comes after its file's sync, and the directory's sync after it. Whether there were two."""
    renames = [
        call
        for call in calls.naming(f"p{number}")
        if call.name.startswith("rename") and str(place.path.parent) in call.text and "out.png" in call.text
    ]
    for rename in renames:
        temporary = re.search(r'"(\.imgserve-[\w-]+)"', rename.text)
        assert temporary is not None, rename
        sync = calls.synced(temporary[1], 0)
        assert sync.ended < rename.began, f"{place.name} had its name before its bytes were on disk"
        calls.synced(place.path.parent.name, rename.ended)
    return len(renames) == 2
