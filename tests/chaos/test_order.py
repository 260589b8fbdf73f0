"""What the kernel was asked for, in order (strace): a job is on disk before anybody hears of it, a file's bytes are
before its name is.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.chaos.lane import KINDS, Lane, Place
from tests.sizes import sized

CALLS = "trace=fdatasync,fsync,write,writev,pwrite64,sendto,sendmsg,rename,renameat,renameat2,openat"
JOBS = sized(24, 1000)
_UNFINISHED = re.compile(r"^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$", re.DOTALL)
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_WHOLE = re.compile(r"^(\d+) +(\w+)\((.*)$", re.DOTALL)


class Call(NamedTuple):
    """A system call with its arguments as strace prints them; the lines of the trace on which it began and ended."""

    name: str
    text: str
    began: int
    ended: int


def calls_of(lines: Sequence[str]) -> list[Call]:
    begun: dict[str, tuple[str, str, int]] = {}
    calls = []
    for at, line in enumerate(lines):
        if match := _UNFINISHED.match(line):
            begun[match[1]] = (match[2], match[3], at)
        elif match := _RESUMED.match(line):
            name, text, began = begun.pop(match[1], (match[2], "", 0))
            calls.append(Call(name, text + match[3], began, at))
        elif match := _WHOLE.match(line):
            calls.append(Call(match[2], match[3], at, at))
    return calls


def first(calls: Sequence[Call], what: str, fits: Callable[[Call], bool]) -> Call:
    found = next((call for call in calls if fits(call)), None)
    assert found is not None, f"the trace shows no {what}"
    return found


def synced(calls: Sequence[Call], path: str, after: int) -> Call:
    """The first sync of a file that began after ``after`` and went well."""
    return first(
        calls,
        f"sync of {path}",
        lambda call: (
            call.name in ("fsync", "fdatasync") and call.began > after and path in call.text and "= 0" in call.text
        ),
    )


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_disk_before_network_and_bytes_before_names(tmp_path: Path) -> None:
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
    calls = calls_of(trace.read_text(errors="replace").splitlines())
    for number, place in enumerate(places):
        check_job(calls, number, place)
    assert sum(check_file(calls, place) for place in places if place.kind == "file") == JOBS // 4


def check_job(calls: Sequence[Call], number: int, place: Place) -> None:
    """The row was written and synced before the first byte to the destination and before the reply."""
    row = first(
        calls,
        f"row of job {number}",
        lambda call: call.name == "pwrite64" and "queue.sqlite-wal" in call.text and f"good-{number}.png" in call.text,
    )
    sync = synced(calls, "queue.sqlite-wal", row.ended)
    sign = {
        "file": f"{place.path.parent}",
        "form": place.path.name,
        "put": f"PUT /{place.name}",
        "ftp": f"CWD p{number}",
    }
    first_byte = first(calls, f"word to destination {number}", lambda call: is_word(call, sign[place.kind], place))
    reply = first(
        calls,
        f"reply {number}",
        lambda call: is_sent(call) and '{\\"dstURL\\":' in call.text and f"p{number}" in call.text,
    )
    assert sync.ended < first_byte.began, f"job {number}: {place.kind} was told before the row was on disk"
    assert sync.ended < reply.began, f"job {number}: the caller was told before the row was on disk"
    assert first_byte.began < reply.began, f"job {number}: the reply came before the placeholder"


def is_word(call: Call, sign: str, place: Place) -> bool:
    if place.kind == "file":
        return call.name == "openat" and sign in call.text and ".imgserve-" in call.text and "O_CREAT" in call.text
    return is_sent(call) and sign in call.text and "dstURL" not in call.text


def is_sent(call: Call) -> bool:
    return call.name in ("write", "writev", "sendto", "sendmsg") and "<socket:" in call.text[:40]


def check_file(calls: Sequence[Call], place: Place) -> bool:
    """Each rename comes after its file's sync, and the directory's sync after it. Whether there were two."""
    renames = [
        call
        for call in calls
        if call.name.startswith("rename") and str(place.path.parent) in call.text and "out.png" in call.text
    ]
    for rename in renames:
        temporary = re.search(r'"(\.imgserve-[\w-]+)"', rename.text)
        assert temporary is not None, rename
        sync = synced(calls, f"/{temporary[1]}>", 0)
        assert sync.ended < rename.began, f"{place.name} had its name before its bytes were on disk"
        synced(calls, f"<{place.path.parent}>", rename.ended)
    return len(renames) == 2
