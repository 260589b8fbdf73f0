"""The figures of a run, as frozen values that are written as JSON. ``__main__`` makes them, ``table`` reads them."""

from collections.abc import Sequence
from statistics import median

import msgspec
from bench.figures import percentile

USUAL_CLIENTS = 16


class Load(msgspec.Struct, frozen=True):
    """So many clients without a pause. CPU and memory are those of the whole process tree, None if it is not seen."""

    round: int
    clients: int
    pictures: int
    seconds: float
    cpu_ms: float | None
    pss_mib: float | None
    latencies_ms: list[float] = []
    failures: int = 0

    @property
    def per_second(self) -> float:
        return self.pictures / self.seconds


class Quality(msgspec.Struct, frozen=True):
    """Of one picture for each source. No scores: SSIMULACRA2 says nothing of such pictures, or is not installed."""

    scores: list[float]
    sizes_bytes: list[int]


class Row(msgspec.Struct, frozen=True):
    """One server in one cell. ``refusal``: why it has no figures."""

    server: str
    loads: list[Load] = []
    quality: Quality | None = None
    after_mib: float | None = None
    refusal: str = ""

    def of(self, clients: int) -> list[Load]:
        return [load for load in self.loads if load.clients == clients]

    def per_second(self, clients: int) -> float:
        return median(load.per_second for load in self.of(clients))

    def latency_ms(self, clients: int, share: float) -> float:
        return percentile([taken for load in self.of(clients) for taken in load.latencies_ms], share)

    def cpu_ms(self, clients: int) -> float | None:
        values = [load.cpu_ms for load in self.of(clients) if load.cpu_ms is not None]
        return median(values) if values else None

    @property
    def peak_mib(self) -> float | None:
        return max((load.pss_mib for load in self.loads if load.pss_mib is not None), default=None)


class CellFigures(msgspec.Struct, frozen=True):
    cell: str
    sources: str
    rows: list[Row]

    def row(self, server: str) -> Row | None:
        """None: it was not measured."""
        return next((row for row in self.rows if row.server == server and row.loads), None)


class Run(msgspec.Struct, frozen=True):
    """``versions`` and ``rest_mib`` by the server's name."""

    date: str
    machine: str
    photographs: str
    clients: list[int]
    rounds: int
    seconds: float
    versions: dict[str, str]
    rest_mib: dict[str, float | None]
    cells: list[CellFigures]

    @property
    def usual_clients(self) -> int:
        """The number that ratios, CPU and spread are for."""
        return usual(self.clients)


def usual(clients: Sequence[int]) -> int:
    return USUAL_CLIENTS if USUAL_CLIENTS in clients else clients[len(clients) // 2]


def ratios(row: Row, base: Row, clients: int) -> list[float]:
    """Pictures a second, round by round."""
    others = {load.round: load.per_second for load in base.of(clients) if load.pictures}
    return [load.per_second / others[load.round] for load in row.of(clients) if load.round in others]


def cpu_ratios(row: Row, base: Row, clients: int) -> list[float]:
    """Pictures for a second of CPU, round by round; none if the CPU of one of both is not seen."""
    others = {load.round: load.cpu_ms for load in base.of(clients) if load.cpu_ms is not None}
    return [
        others[load.round] / load.cpu_ms for load in row.of(clients) if load.cpu_ms is not None and load.round in others
    ]
