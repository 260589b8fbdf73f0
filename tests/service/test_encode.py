"""The settings of results through the server and its locked workers, in jobs."""

import io
import json

import pytest
from PIL import Image

from imgserve.imaging.worker.metadata.exif import ARTIST, COPYRIGHT
from imgserve.request.encode import Format
from tests.service.conftest import World
from tests.service.test_pictures import post, put
from tests.support import pictures, profiles
from tests.support.daemon import wait_until
from tests.support.ondemand import JPEG, call, with_recipe

NAMES: dict[Format, str] = {"jpeg": "jpg", "png": "png", "webp": "webp", "gif": "gif", "tiff": "tif", "avif": "avif"}


def photo() -> bytes:
    """In Display P3, with a copyright, an artist, a camera and a description."""
    exif = Image.Exif()
    exif.update({ARTIST: "Ada", COPYRIGHT: "(c) Ada", 0x010F: "Acme", 0x010E: "a scene"})
    data = io.BytesIO()
    profile = profiles.DISPLAY_P3.profile()
    pictures.scene(120, 80).save(data, "JPEG", quality=95, exif=exif.tobytes(), icc_profile=profile)
    return data.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_locked_workers_write_metadata_and_profiles(world: World, name: Format) -> None:
    for metadata, tags in (("copyright", {ARTIST, COPYRIGHT}), ("all", {ARTIST, COPYRIGHT, 0x010F, 0x010E})):
        encode = {"format": name, "effort": "best", "metadata": metadata, "profile": "source"}
        if name == "gif":
            del encode["profile"]
        reply = call(world.server, photo(), JPEG, with_recipe({"encode": encode}))
        assert reply.status == 200, reply.body
        shown = reply.picture
        assert shown.size == (120, 80)
        if name == "gif":  # XMP alone
            assert (b"(c) Ada" in reply.body, b"a scene" in reply.body) == (True, False)
        else:
            assert tags <= set(shown.getexif())
            assert (0x010F in shown.getexif()) == (metadata == "all")
            assert shown.info["icc_profile"] == profiles.DISPLAY_P3.profile()


def test_a_jobs_args(world: World) -> None:
    (world.http.directory / "p3.jpg").write_bytes(photo())
    reply = post(world, "p3.jpg", "small.jpg", progressive=True, metadata="copyright", profile="p3", chroma="444")
    assert "code" not in reply.body
    shown = put(world, "small.jpg")
    assert shown.info["progressive"]
    assert shown.info["icc_profile"]
    assert shown.getexif()[COPYRIGHT] == "(c) Ada"


def test_a_field_that_the_format_lacks(world: World) -> None:
    (world.http.directory / "p3.jpg").write_bytes(photo())
    refused = post(world, "p3.jpg", "no-extension", format="png", lossless=True)
    assert (refused.body["code"], "args.lossless: png does not have it" in str(refused.body["detail"])) == (107, True)
    assert "code" not in post(world, "p3.jpg", "ignored.png", lossless=True, loop=3).body
    assert put(world, "ignored.png").format == "PNG"
    wait_until(lambda: "encode_fields_ignored" in world.server.log)
    [line] = [line for line in world.server.log.splitlines() if "encode_fields_ignored" in line]
    assert 'fields="lossless loop"' in line
    assert "format=png" in line


def test_a_gif_is_srgb_whatever_a_preset_says(world: World) -> None:
    """It cannot hold a profile, so the numbers of another one would be shown in wrong colours."""
    (world.http.directory / "p3.jpg").write_bytes(photo())
    for profile in ("p3", "source"):
        assert "code" not in post(world, "p3.jpg", f"{profile}.gif", profile=profile).body
        assert "code" not in post(world, "p3.jpg", f"{profile}.png", profile="srgb").body
        srgb = put(world, f"{profile}.png").convert("RGB")
        assert pictures.distance(put(world, f"{profile}.gif").convert("RGB"), srgb) < 6
        assert pictures.distance(put(world, f"{profile}.gif").convert("RGB"), stored_in_p3()) > 6


def stored_in_p3() -> Image.Image:
    """The numbers of the photograph, without its profile."""
    return Image.open(io.BytesIO(photo())).convert("RGB").resize((60, 40), Image.Resampling.LANCZOS)


def test_faults_of_a_recipe_have_their_paths(world: World) -> None:
    recipe = {"encode": {"format": "gif", "quality": 9, "profile": "p3", "bit_depth": 10}}
    reply = call(world.server, photo(), JPEG, with_recipe(recipe))
    paths = {error["path"] for error in json.loads(reply.body)["errors"]}
    assert paths == {f"query.recipe.encode.{name}" for name in ("quality", "profile", "bit_depth")}
