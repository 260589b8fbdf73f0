"""A network namespace, whose links to this machine a test cuts and mends: the node inside is partitioned.

A cut link loses frames both ways and tells nobody, as a dead switch does: each end sends to a hardware address that the
other one has not. A device that is down, or a missing route, would give senders an error; not every kernel has netem.
"""

import os
import subprocess
from types import TracebackType
from typing import Self

import pytest

NETWORK = "10.128.0.0/9"
NOWHERE = "02:00:00:00:00:01"


class Link:
    """A cable from this machine, with address ``outside``, into a namespace, with address ``inside``."""

    def __init__(self, namespace: str, number: int) -> None:
        # No two running processes have the same number, nor, as good as always, the same 20 bits of it.
        first = (10 << 24) + (1 << 23) + ((os.getpid() % (1 << 20)) * 2 + number) * 4
        self.outside, self.inside = _dotted(first + 1), _dotted(first + 2)
        self._namespace = namespace
        self._names = (f"{namespace}o{number}", f"{namespace}i{number}")

    def lay(self) -> None:
        outer, inner = self._names
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", self._namespace)
        for command, name, address in zip(self._ends(), self._names, (self.outside, self.inside), strict=True):
            _ip(*command, "address", "add", f"{address}/30", "dev", name)
            _ip(*command, "link", "set", name, "up")

    def cut(self) -> None:
        for command, name, other in zip(self._ends(), self._names, (self.inside, self.outside), strict=True):
            _ip(*command, "neighbour", "replace", other, "lladdr", NOWHERE, "dev", name, "nud", "permanent")

    def mend(self) -> None:
        for command, name, other in zip(self._ends(), self._names, (self.inside, self.outside), strict=True):
            _ip(*command, "neighbour", "delete", other, "dev", name)

    def _ends(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (), ("-netns", self._namespace)


class Namespace:
    """``command`` begins that of a program which runs inside. With several links one can be cut, another not."""

    def __init__(self, links: int = 1) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root can make a network namespace")
        self._name = f"i{os.getpid()}"
        self.command = ("ip", "netns", "exec", self._name)
        self.links = tuple(Link(self._name, number) for number in range(links))

    def __enter__(self) -> Self:
        _ip("netns", "add", self._name)
        _ip("-netns", self._name, "link", "set", "lo", "up")
        for link in self.links:
            link.lay()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The links go with the namespace, when its last process has ended."""
        _ip("netns", "delete", self._name)


def _ip(*arguments: str) -> None:
    result = subprocess.run(("ip", *arguments), capture_output=True, text=True)
    assert result.returncode == 0, (arguments, result.stderr)


def _dotted(address: int) -> str:
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))
