"""The headers that go along with requests to one origin: a job's own, and its credential's.

``credentials`` makes them, the protocols hand them to ``Call``s, and each redirect asks whether they may go on.
"""

from collections.abc import Callable, Iterable
from typing import Self

import msgspec

from imgserve.transfer.client import location


class Along(msgspec.Struct, frozen=True):
    """Header lines for ``origin``. ``secret`` goes only to URLs that ``is_for`` names; empty for none."""

    origin: location.Origin
    headers: tuple[str, ...]
    secret: str = ""
    is_for: Callable[[str], bool] = lambda _url: False

    def __repr__(self) -> str:
        return f"Along({self.origin})"

    def lines_for(self, url: str) -> tuple[str, ...]:
        return (*self.headers, self.secret) if self.secret and self.is_for(url) else self.headers

    def to(self, url: str) -> "Along | None":
        """For a request that another one leads to. Another origin gets nothing, nor does any after that."""
        return self if location.origin(url) == self.origin else None

    def without(self, names: Iterable[str]) -> Self:
        """Without the job's headers of these names, in lower case."""
        kept = tuple(line for line in self.headers if name_of(line) not in names)
        return msgspec.structs.replace(self, headers=kept)


def name_of(line: str) -> str:
    """The name of a header line, in lower case."""
    return line.partition(":")[0].lower()


def merged(along: Along | None, url: str, headers: Iterable[str]) -> list[str]:
    """The lines of a request: those that go along, in place of ours of the same name."""
    if along is None:
        return list(headers)
    own = along.lines_for(url)
    names = set(map(name_of, own))
    return [*own, *(line for line in headers if name_of(line) not in names)]
