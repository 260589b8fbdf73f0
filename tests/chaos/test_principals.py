"""Another key's job for a destination that somebody waits for, with no placeholder and a picture that never comes.

The first one's final comes all the same, wherever the server dies meanwhile.
"""

from pathlib import Path

import pytest

from tests.chaos.lane import Kind, Lane
from tests.chaos.receiving import shown
from tests.support.sizes import IS_FULL

ANN, BOB = "the-key-of-ann-0001", "the-key-of-bob-0001"
KINDS: tuple[Kind, ...] = ("file", "ftp", "put") if IS_FULL else ("put",)
# Where bob's job may die; it has no placeholder and no final.
EVERY = ("intake_probed", "intake_enqueued", "intake_released", "intake_answered", "claimed", "fetched", "settled")
POINTS = EVERY if IS_FULL else ("intake_released", "settled")


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_ones_final_comes(tmp_path: Path, kind: Kind) -> None:
    (tmp_path / "keys").write_text(f"ann:{ANN}\nbob:{BOB}\n")
    with Lane(tmp_path / "lane", switches={"api_key_file": tmp_path / "keys"}) as lane:
        for number, point in enumerate(("", *POINTS)):
            first, second = 2 * number, 2 * number + 1
            place = lane.place(kind, f"p{number}")
            lane.accept(lane.job(first, place, f"held/good-{first}.png"), ANN)
            lane.until(first, lambda entry: entry.status == "running")
            if point:
                lane.arm(point)
            reply = lane.post({**lane.job(second, place, "plain/broken-0.png"), "placeholder": "none"}, BOB)
            if point:
                lane.restart_after_death()
            else:
                assert reply is not None
                assert "dstURL" in reply.body
            lane.sources.release(f"good-{first}.png")
            known = [entry.job for entry in lane.entries([first, second])]
            assert first in known
            lane.until_ended(known)
            ends = {entry.job: (entry.status, entry.outbox) for entry in lane.entries(known)}
            assert ends.pop(first) == ("succeeded", "none"), point
            assert set(ends.values()) <= {("failed", "none")}, point
            lasting = shown(place.name, place.path.read_bytes())
            assert (lasting.kind, lasting.job) == ("final", first), point
