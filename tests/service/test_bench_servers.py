"""The requests of ``make bench`` against the real server, and its judgement of pictures that nobody asked for.

And the jobs that ``bench.growth`` puts into a queue file.
"""

import asyncio
import io
from pathlib import Path

import pytest
from bench import growth
from bench.peers import Peers
from bench.picture import photo
from bench.servers import asked, contestants, measure
from bench.servers.cells import CELLS, Cell
from bench.servers.contestants import CONTESTANTS, Server, Setting
from bench.servers.judge import Judge, Unfit
from PIL import Image

THUMB, GIF = (next(cell for cell in CELLS if cell.name == name) for name in ("thumb", "gif"))
SIZE = (480, 360)


def animation(frames: int) -> bytes:
    images = [Image.new("RGB", SIZE, (20 * number, 90, 200)) for number in range(frames)]
    out = io.BytesIO()
    images[0].save(out, "GIF", save_all=True, append_images=images[1:], duration=80)
    return out.getvalue()


SOURCES = {THUMB: photo(*SIZE), GIF: animation(GIF.frames)}


async def test_jobs_renders_and_gets_answer_with_the_picture_of_the_cell(tmp_path: Path) -> None:
    peers = Peers(b"")
    await peers.start()
    host = f"127.0.0.1:{peers.source_port}"
    with contestants.daemon(tmp_path, host) as daemon:
        for cell, source in SOURCES.items():
            origin, judge = measure.Origin(peers, cell, [source]), Judge(cell, [source])
            for name in ("imgserve jobs", "imgserve render", "imgserve GET"):
                with contestants.running(CONTESTANTS[name], Setting(tmp_path, host, daemon), name) as server:
                    quality = await judge.asked(server, origin)
                    load = await measure.loaded(server, origin, 0, 2, 0.1)
                assert quality.sizes_bytes[0] > 100, name
                assert (load.failures, load.clients) == (0, 2)
                assert load.pictures == len(load.latencies_ms) >= 2
                assert load.pss_mib is not None
    peers.close()


async def test_a_server_that_hangs_up_answers_no_picture_and_does_not_end_the_bench() -> None:
    origin = measure.Origin(Peers(b""), THUMB, [SOURCES[THUMB]])
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        load = await measure.loaded(Server("dead", "", url, 0, asked.imgproxy), origin, 0, 2, 0.2)
    assert load.pictures == 0
    assert load.failures >= 2
    assert (load.cpu_ms, load.latencies_ms) == (None, [])


async def test_a_server_takes_the_jobs_of_a_filled_queue_to_their_end(tmp_path: Path) -> None:
    cpu_ms, per_second = await growth.drained(tmp_path, 40, first=5, jobs=30)
    assert cpu_ms > 0
    assert per_second > 0


def jpeg(width_px: int, height_px: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width_px, height_px), "#507090").save(out, "JPEG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("cell", "file", "words"),
    [
        (THUMB, b"{}", "answers with no picture"),
        (THUMB, animation(2), "answers with GIF instead of JPEG"),
        (THUMB, jpeg(200, 150), "answers with 200 x 150 instead of 200 x 120"),
        (GIF, animation(3), "answers with 480 x 360 instead of 240 x 180"),
    ],
)
def test_a_picture_that_was_not_asked_for_has_no_figures(cell: Cell, file: bytes, words: str) -> None:
    with pytest.raises(Unfit, match=words):
        Judge(cell, [SOURCES[cell]]).of([file])


def test_an_animation_without_all_its_frames_has_no_figures() -> None:
    still = io.BytesIO()
    Image.new("RGB", (240, 180), "#507090").save(still, "GIF")
    with pytest.raises(Unfit, match="answers with 1 frames instead of 12"):
        Judge(GIF, [SOURCES[GIF]]).of([still.getvalue()])
