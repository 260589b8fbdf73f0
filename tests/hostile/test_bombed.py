"""The bombs of ``test_bombs`` posted to a real server, several at a time, while somebody else's jobs go on: both as one
caller, and each with a key of its own."""

import queue
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.gauges import Gauge, memory, resident_bytes
from tests.chaos.lane import Lane, bearer
from tests.chaos.test_workers import ready_workers
from tests.hostile.bombs_svg import SVG
from tests.hostile.neighbours import Ends, Neighbour, Times, compare
from tests.hostile.test_bombs import BOMBS, PARENT_BYTES, WORKER_BYTES
from tests.support.sizes import IS_FULL, Figures, sized

ATTACKERS = 4
ROUNDS, ROUND_S = sized(1, 6), sized(1.0, 15.0)
# The second attempt would come after the deadline.
ONE_ATTEMPT = {"retry_delay_s": 200, "deadline_s": 100}
SVG_TIMEOUT_S = sized(1.0, 5.0)
NAMES = list(BOMBS) if IS_FULL else list(BOMBS)[::9]


class Attack:
    """Under way from the start; each attacker posts the next bomb when its last has ended."""

    def __init__(self, lane: Lane, log: Ends, names: list[str], key: str, threads: ThreadPoolExecutor) -> None:
        self._lane = lane
        self._key = key
        self._log = log
        self._names: queue.SimpleQueue[str] = queue.SimpleQueue()
        for name in names:
            self._names.put(name)
        self._ends: dict[str, str] = {}
        self._attackers = [threads.submit(self._attack) for _ in range(ATTACKERS)]

    def is_under_way(self) -> bool:
        return not all(attacker.done() for attacker in self._attackers)

    def ends(self) -> dict[str, str]:
        """How each bomb ended, once all have."""
        for attacker in self._attackers:
            attacker.result()
        return self._ends

    def _attack(self) -> None:
        while True:
            try:
                name = self._names.get_nowait()
            except queue.Empty:
                return
            self._ends[name] = self._explode(name)

    def _explode(self, name: str) -> str:
        number = list(BOMBS).index(name)
        place = self._lane.place("put", f"bomb-{number}")
        job = self._lane.job(100 + number, place, f"plain/bomb-{number}")
        kind = "rasterize" if name in SVG else "resize"
        args = {"width": 64, "height": 48, "method": "PUT", **({} if name in SVG else {"enlarge": True})}
        bomb = {**job, "operationType": kind, "args": args}
        reply = self._lane.daemon.post(bomb, timeout_s=60, headers=bearer(self._key))
        if "dstURL" not in reply.body:
            return f"refused {reply.body['code']}"
        return self._log.of_path(f"/{place.name}").state


@pytest.mark.parametrize("keys", [("", ""), ("the-key-of-the-bomber", "the-key-of-the-neighbour")], ids=["one", "two"])
def test_others_go_on_among_bombs(tmp_path: Path, figures: Figures, keys: tuple[str, str]) -> None:
    bomber, neighbours = keys
    switches: dict[str, object] = {"svg_timeout_s": SVG_TIMEOUT_S, **ONE_ATTEMPT}
    if bomber:
        (tmp_path / "keys").write_text(f"bomber:{bomber}\nneighbour:{neighbours}\n")
        switches["api_key_file"] = tmp_path / "keys"
    bombs = {f"bomb-{number}": make() for number, (name, (_, make)) in enumerate(BOMBS.items()) if name in NAMES}
    alone: list[Times] = []
    attacked: list[Times] = []
    ended: dict[str, str] = {}
    with (
        Lane(tmp_path / "lane", workers=2, extra_sources=bombs, switches=switches) as lane,
        ThreadPoolExecutor(ATTACKERS) as threads,
    ):
        server, log = lane.daemon.pid, Ends()
        lane.web.log = log
        neighbour = Neighbour(lane, log, neighbours)
        neighbour.call_for(ROUND_S)
        before = resident_bytes(server)

        def read() -> tuple[int, int]:
            return resident_bytes(server), max(memory(pid, "VmHWM") for pid in ready_workers(server))

        with Gauge(read, 0.05) as gauge:
            for turn in range(ROUNDS):
                alone += neighbour.call_for(ROUND_S)
                attack = Attack(lane, log, NAMES[turn::ROUNDS], bomber, threads)
                attacked += neighbour.call_while(attack.is_under_way)
                ended |= attack.ends()
        assert lane.daemon.is_running
    for name, end in ended.items():
        stop, _ = BOMBS[name]
        assert stop in ("nothing", "deadline") or end != "final", f"{name} was drawn"
    growth = max(size for _, (size, _) in gauge.readings) - before
    largest = max(size for _, (_, size) in gauge.readings)
    assert growth < PARENT_BYTES
    assert largest < WORKER_BYTES
    figures("bombs", len(ended))
    figures("ends", dict(Counter(ended.values()).most_common()))
    compare(figures, alone, attacked)
    figures("largest worker (MB)", round(largest / 1e6))
    figures("growth of the server (MB)", round(growth / 1e6, 1))
