"""Further pictures of an attempt: with a real pool and real downloads."""

import asyncio
import io
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from imgserve.blob import Blob
from imgserve.engine.render import Renderer
from imgserve.imaging import messages, wire
from imgserve.imaging.faults import SourceUnreadable
from imgserve.jobs.model import Settlement
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import Limits
from imgserve.request.operations.composite import Composite
from imgserve.request.recipe import MAX_FURTHER, Recipe
from imgserve.request.rendering import Rendering
from imgserve.request.source import parse_source
from tests.support import pictures
from tests.support.plant import Plant, plant
from tests.support.queues import claimed
from tests.support.stalling import LONG_S

INFO = ImageInfo("png", 64, 48)
BASE = pictures.encoded(Image.new("RGB", (64, 48)), "png")
LOGO = ImageRef(name="logo")


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Plant]:
    async with plant(tmp_path) as opened, asyncio.timeout(LONG_S):
        yield opened


def rendering(*operations: Composite) -> Rendering:
    return Rendering(Recipe(operations, Encode(format="png")), Size(64, 48), "png")


def flat(colour: str) -> bytes:
    return pictures.encoded(Image.new("RGB", (8, 8), colour), "png")


def middle(blob: Blob) -> tuple[int, ...]:
    return tuple(np.asarray(Image.open(io.BytesIO(blob.read())))[24, 32])


async def attempt(made: Plant) -> Settlement:
    return await made.attempts.run(await claimed(made.queue, time.time()))


async def test_renders_are_shared_with_equal_further_bytes_alone(made: Plant) -> None:
    renderer = Renderer(made.transfers, made.pool)
    with Blob.of(BASE) as source, Blob.of(flat("red")) as red, Blob.of(flat("blue")) as blue, red.share() as same:
        one, two, three = await asyncio.gather(
            *(
                renderer.rendition(source, INFO, rendering(Composite(LOGO)), [logo], is_alone=False)
                for logo in (red, same, blue)
            )
        )
    with one, two, three:
        assert one == two
        assert [middle(one.blob), middle(three.blob)] == [(255, 0, 0), (0, 0, 255)]


async def test_the_most_further_pictures_of_one_render(made: Plant) -> None:
    renderer = Renderer(made.transfers, made.pool)
    drawn = [Composite(ImageRef(name=str(number)), left=8 * number, top=0) for number in range(MAX_FURTHER)]
    blobs = [Blob.of(flat(f"rgb({number}, 200, 0)")) for number in range(MAX_FURTHER)]
    with Blob.of(BASE) as source:
        picture = await renderer.rendition(source, INFO, rendering(*drawn), blobs, is_alone=False)
    with picture:
        seen = np.asarray(Image.open(io.BytesIO(picture.blob.read())))
    for number, blob in enumerate(blobs):
        blob.close()
        assert tuple(seen[4, 8 * number + 4]) == (number, 200, 0)


async def test_an_error_names_its_field_and_spares_the_other_outputs(made: Plant) -> None:
    here = made.source.parent
    (here / "logo.png").write_bytes(flat("red"))
    (here / "broken.png").write_bytes(flat("red")[:60])
    logo, broken, gone = (Composite(ImageRef(url=f"file://{here}/{name}.png")) for name in ("logo", "broken", "gone"))
    await made.released(
        made.drawing("a.png", logo),
        made.drawing("b.png", logo, broken),
        made.drawing("c.png", gone, logo),
        made.drawing("d.png", logo, logo, gone),
        made.drawing("e.png", Composite(ImageRef(name="seal"))),
    )
    results = (await attempt(made)).results
    assert [result.status for result in results] == ["delivered", "failed", "failed", "failed", "failed"]
    details = [str(result.detail) for result in results[1:]]
    assert details[0].startswith("operations[1].image: the source looks like PNG but cannot be decoded")
    assert details[1].startswith("operations[0].image: ")
    assert "no such source file" in details[1]
    assert details[2] == details[1].replace("[0]", "[2]"), "two outputs may draw it in different places"
    assert details[3].startswith("operations[0].image: the settings have no picture of this name any more")
    errors = [result.error for result in results[1:]]
    assert errors == ["source_unreadable", "source_not_found", "source_not_found", "source_unavailable"]


async def test_a_source_that_is_not_there_waits_for_no_further_picture(made: Plant) -> None:
    (made.source.parent / "logo.png").write_bytes(flat("red"))
    made.source.unlink()
    await made.released(made.drawing("a.png", Composite(ImageRef(url=f"file://{made.source.parent}/logo.png"))))
    (result,) = (await attempt(made)).results
    assert result.status == "failed"
    assert "image" not in str(result.detail)
    while made.transfers.budget.held:  # noqa: ASYNC110 - the thread that reads the other file has to end
        await asyncio.sleep(0.001)


async def test_the_source_may_be_drawn_on_itself(made: Plant) -> None:
    await made.released(made.drawing("a.png", Composite(ImageRef(url=f"file://{made.source}"), width=10)))
    assert [result.status for result in (await attempt(made)).results] == ["delivered"]
    assert made.transfers.budget.held == 0


async def test_a_url_never_reaches_a_worker(made: Plant) -> None:
    """Nor its password: workers hold no credentials."""
    secret = ImageRef(url="http://user:s3cret@a.test/logo.png")
    recipe = Recipe((Composite(secret), Composite(LOGO), Composite(secret)))
    request = messages.RenderRequest(Rendering(recipe.without_urls(), Size(1, 1), "png"), Limits())
    assert b"a.test" not in msgspec.msgpack.encode(request)
    assert "s3cret" not in repr(recipe)
    assert list(recipe.further) == [secret, LOGO]
    assert list(recipe.without_urls().further) == [ImageRef(name="0"), ImageRef(name="1")]
    sent: list[bytes] = []
    renderer, usual = Renderer(made.transfers, made.pool), wire.send_request

    def send(connection: socket.socket, request: messages.Request, descriptors: list[int]) -> bool:
        sent.append(msgspec.msgpack.encode(request))
        return usual(connection, request, descriptors)

    with pytest.MonkeyPatch.context() as patch, Blob.of(BASE) as source, Blob.of(b"nothing") as logo:
        patch.setattr(wire, "send_request", send)
        with pytest.raises(SourceUnreadable) as caught:
            await renderer.rendition(source, INFO, rendering(Composite(secret)), [logo], is_alone=False)
    assert caught.value.path == ("operations", 0, "image")
    assert len(sent) == 1
    assert b"a.test" not in sent[0]


async def test_pictures_of_an_upload(made: Plant) -> None:
    """A source that is here already, as one that came as a request's body."""
    (made.source.parent / "logo.png").write_bytes(flat("red"))
    drawn = Composite(ImageRef(url=f"file://{made.source.parent}/logo.png"))
    renderer = Renderer(made.transfers, made.pool)
    with Blob.of(BASE) as source, await renderer.pictures(source, [Recipe((drawn,))]) as found:
        with found.of(Recipe((drawn,))) as inputs:
            picture = await renderer.rendition(
                inputs.source, INFO, rendering(drawn), inputs.further, is_alone=False, principal="p"
            )
        with picture:
            assert middle(picture.blob) == (255, 0, 0)
    assert parse_source(drawn.image.url).path.endswith("logo.png")
    assert made.transfers.budget.held == 0
