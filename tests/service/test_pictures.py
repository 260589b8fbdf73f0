"""Pictures as they are, through the server's door: films, damaged files, names that lie about what is in them."""

import io

import numpy as np
from examples.receivers import HttpReceiver
from PIL import Image

from tests.service.conftest import World
from tests.support import pictures
from tests.support.daemon import Reply, wait_until


def post(world: World, source: str, target: str, **args: object) -> Reply:
    return world.server.post({
        "operationType": "resize",
        "srcURL": f"{world.http.url}/{source}",
        "dstURL": f"{world.http.url}/put/{target}",
        "args": {"method": "PUT", "width": 60, "height": 40} | args,
    })  # fmt: skip


def writes(receiver: HttpReceiver, target: str) -> list[str]:
    return [event.state for event in receiver.log.of("PUT") if event.name == f"/put/{target}"]


def put(world: World, target: str) -> Image.Image:
    wait_until(lambda: writes(world.http, target) == ["placeholder", "final"])
    return Image.open(io.BytesIO((world.http.directory / "put" / target).read_bytes()))


def test_a_film_stays_one_where_the_format_has_frames(world: World) -> None:
    frames = [pictures.scene(120, 80).rotate(n * 40) for n in range(5)]
    (world.http.directory / "walk.gif").write_bytes(pictures.film(frames, "gif", [70] * 5))
    assert post(world, "walk.gif", "walk.webp").status == 200
    assert getattr(put(world, "walk.webp"), "n_frames", 1) == 5
    assert post(world, "walk.gif", "walk.jpg").status == 200
    assert put(world, "walk.jpg").format == "JPEG"


def test_a_film_is_shortened(world: World) -> None:
    frames = [pictures.scene(120, 80).rotate(n * 40) for n in range(5)]
    (world.http.directory / "walk.png").write_bytes(pictures.film(frames, "png", [70] * 5))
    assert post(world, "walk.png", "short.webp", page=1, frames=2).status == 200
    assert getattr(put(world, "short.webp"), "n_frames", 1) == 2
    reply = post(world, "walk.png", "none.webp", page=5)
    assert reply.body["code"] == 202
    assert "the source has 5 frames, and the job asks for number 5" in str(reply.body["detail"])
    assert "args.page" in str(reply.body["detail"])
    assert writes(world.http, "none.webp") == []


def test_a_size_that_only_the_pixels_tell(world: World) -> None:
    """A trim leaves the mark, 25 x 21. No placeholder can have that size, and what the crop leaves shows at the end."""
    sheet = Image.new("RGB", (60, 40), "white")
    sheet.paste((10, 20, 30), (15, 8, 40, 29))
    (world.http.directory / "sheet.png").write_bytes(pictures.encoded(sheet, "png"))

    def post_list(target: str, placeholder: str, *operations: dict[str, object]) -> Reply:
        return world.server.post({
            "operationType": "resize", "srcURL": f"{world.http.url}/sheet.png", "placeholder": placeholder,
            "dstURL": f"{world.http.url}/put/{target}", "args": {"method": "PUT", "operations": list(operations)},
        })  # fmt: skip

    extend: dict[str, object] = {"operation": "extend", "left": 5}
    refused = post_list("trimmed.png", "text", {"operation": "trim"}, extend)
    assert refused.body["code"] == 107
    assert "placeholder: trim makes the size depend on the picture's pixels" in str(refused.body["detail"])
    assert post_list("trimmed.png", "none", {"operation": "trim"}, extend).status == 200
    wait_until(lambda: writes(world.http, "trimmed.png") == ["final"])
    assert Image.open(io.BytesIO((world.http.directory / "put" / "trimmed.png").read_bytes())).size == (30, 21)
    beside = post_list("beside.png", "text", {"operation": "crop", "left": 60})
    assert beside.body["code"] == 107
    assert "leaves nothing of a picture of 60 x 40 px" in str(beside.body["detail"])


def test_a_photograph_of_a_phone(world: World) -> None:
    """Upright, and in a format that can be written; the name of the result says none."""
    scene = pictures.scene(120, 80)
    (world.http.directory / "photo.heic").write_bytes(pictures.oriented(scene, 6, "heic"))
    assert post(world, "photo.heic", "photo").status == 200
    shown = put(world, "photo")
    assert shown.format == "JPEG"
    assert pictures.distance(shown, scene.resize((60, 40), Image.Resampling.LANCZOS)) < 3
    (world.http.directory / "cut-out.heic").write_bytes(pictures.encoded(pictures.scene(120, 80, "RGBA"), "heic"))
    assert post(world, "cut-out.heic", "cut-out").status == 200
    assert (put(world, "cut-out").format, put(world, "cut-out").mode) == ("PNG", "RGBA")


def test_a_large_film_needs_no_file(world: World) -> None:
    """libvips holds a WebP film whole: 132 MB here, which it would lay in a file if it were let."""
    frames = [Image.new("RGB", (3000, 2200), (n * 50, 90, 20)) for n in range(5)]
    (world.http.directory / "large.webp").write_bytes(pictures.film(frames, "webp", [70] * 5, method=0))
    assert "code" not in post(world, "large.webp", "large.gif").body
    assert getattr(put(world, "large.gif"), "n_frames", 1) == 5


def test_too_many_frames_are_named_before_anything_is_written(world: World) -> None:
    frames = [Image.new("RGB", (8, 8), (n % 256, n // 2, 0)) for n in range(257)]
    (world.http.directory / "long.gif").write_bytes(pictures.film(frames, "gif", [20] * 257))
    reply = post(world, "long.gif", "long.gif", enlarge=True)
    assert (reply.body["code"], "frames = 256" in str(reply.body["detail"])) == (206, True)
    assert writes(world.http, "long.gif") == []


def test_half_a_gif_is_202_unless_it_is_wanted(world: World) -> None:
    data = pictures.encoded(pictures.detailed(120, 80), "gif")
    (world.http.directory / "half.gif").write_bytes(data[: len(data) // 2])
    reply = post(world, "half.gif", "half.png")
    assert (reply.body["code"], "args.strict = false" in str(reply.body["detail"])) == (202, True)
    assert "code" not in post(world, "half.gif", "half.png", strict=False).body
    assert put(world, "half.png").size == (60, 40)


def test_the_bytes_tell_the_type_whatever_the_name_says(world: World) -> None:
    scene = pictures.scene(120, 80)
    (world.http.directory / "liar.png").write_bytes(pictures.encoded(scene, "jpeg"))
    assert "code" not in post(world, "liar.png", "{$basename}").body
    result = put(world, "liar")
    assert result.format == "JPEG"
    expected = scene.resize((60, 40), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(result).astype(int) - np.asarray(expected)).mean() < 3
