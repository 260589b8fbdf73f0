"""What a worker takes for an animation whose frames are large."""

import io

from PIL import Image

from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from tests.chaos.gauges import memory
from tests.integration.test_pool_turns import opened
from tests.support.pools import render_bytes

WIDTH, HEIGHT = 3200, 2400
FRAME_BYTES = WIDTH * HEIGHT * 4


def animation() -> bytes:
    first, *others = [Image.new("RGBA", (WIDTH, HEIGHT), (shade, 9, 99)) for shade in (20, 120, 220)]
    for frame in others:
        frame.paste((0, 0, 0, 255), (0, 0, WIDTH // 2, HEIGHT // 2))
    out = io.BytesIO()
    first.save(out, "GIF", save_all=True, append_images=others, duration=100)
    return out.getvalue()


async def test_frames_are_read_by_parts() -> None:
    """Each operation on the way from the decoder would hold a whole frame of its own."""
    task = Rendering(Recipe((Resize(width=160),), Encode(format="webp")), Size(160, 120), "webp")
    async with opened(1, is_shared=False) as pool:
        before = {pid: memory(pid, "VmRSS") for pid in pool.worker_pids}
        await render_bytes(pool, animation(), task)
        taken = [memory(pid, "VmHWM") - rest for pid, rest in before.items()]
        assert 0 < max(taken) < 8 * FRAME_BYTES
