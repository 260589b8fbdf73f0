"""What runs below a server: its template, and the workers, which are the template's children or the server's own."""

import os
from contextlib import suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # ended meanwhile
            found += map(int, task.read_text().split())
    return found


def below(pid: int) -> list[int]:
    """Children and theirs."""
    own = children(pid)
    return [*own, *(grandchild for child in own for grandchild in below(child))]


def workers(server: int) -> list[int]:
    own = children(server)
    templates = [pid for pid in own if _is_template(pid)]
    return [*(pid for pid in own if pid not in templates), *(pid for one in templates for pid in children(one))]


def _is_template(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().count(b"\0template\0") == 1
    return False


def descriptors(pid: int | str = "self") -> dict[Path, str]:
    """What each open descriptor of a process leads to, by its place in /proc. Some may close while this reads."""
    found: dict[Path, str] = {}
    for place in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found[place] = os.readlink(place)
    return found
