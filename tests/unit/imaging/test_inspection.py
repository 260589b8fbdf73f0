"""What ``/v1/info`` includes. The hashes are those of their authors' own encoders (npm thumbhash 0.1.1, blurhash 2.0),
of pixels that are computed here and there alike.
"""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.messages import Dominant, Include, Inspected, Position
from imgserve.imaging.worker.inspection.blurhash import blurhash
from imgserve.imaging.worker.inspection.inspect import inspect
from imgserve.imaging.worker.inspection.palette import palette
from imgserve.imaging.worker.inspection.thumbhash import thumbhash
from imgserve.request.limits import Limits
from tests.support import pictures

ALL: frozenset[Include] = frozenset({"thumbhash", "blurhash", "colors", "exif", "position"})


def pixels(width: int, height: int, *, is_transparent: bool) -> bytes:
    return b"".join(
        bytes((
            (x * x * 3 + y * 11) % 256, (y * y * 2 + x * 5) % 256, (x * 7 + y * 13) % 256,
            (x * 3 + y * y) % 256 if is_transparent else 255,
        ))
        for y in range(height) for x in range(width)
    )  # fmt: skip


def without_alpha(rgba: bytes) -> list[int]:
    return [value for at in range(0, len(rgba), 4) for value in rgba[at : at + 3]]


@pytest.mark.parametrize(
    ("width", "height", "is_transparent", "thumb", "blur"),
    [
        (32, 24, False, "3wcGFYRzd4dGZGYFh1e2hXsB8Zi6", "L6HU;9*dSQ%3Q%035{5-8$L#GZR["),
        (24, 32, False, "3wcGHQRTdmRoV0EHs6RZWJh2sPWa", "L5HB=2ZL5|omy{MfOaJ30G0J1C3n"),
        (30, 30, True, "IeiBDQIXWWiXailzkNgjUOhPdHdRh2A4aA==", "L5HLYxZx9pt:uyL,KhI+0G0J1o1l"),
        (100, 20, False, "3/cFCYJ2VHg4B4ZThnXvaPo=", "L5HLo9vCV[uw~X8yJC4U{[HuRe8#"),
    ],
)
def test_hashes_are_those_of_their_authors(
    width: int, height: int, is_transparent: bool, thumb: str, blur: str
) -> None:
    rgba = pixels(width, height, is_transparent=is_transparent)
    assert base64.b64encode(thumbhash(width, height, rgba)).decode() == thumb
    assert blurhash(width, height, without_alpha(rgba)) == blur


def test_hashes_of_one_pixel_and_of_nothing() -> None:
    one = bytes((10, 200, 30, 255))
    assert base64.b64encode(thumbhash(1, 1, one)).decode() == "VIoon14I9wiIh4hwj3CI+AiIgIAI94cP"
    assert blurhash(1, 1, one[:3]) == "L~1JlBl#l#l#l#l#l#l#l#l#l#l#"
    assert len(thumbhash(4, 4, bytes(64))) > 5, "all of it is transparent"


def test_dominant_colours() -> None:
    red, blue, clear = bytes((250, 10, 10, 255)), bytes((10, 10, 250, 255)), bytes((0, 255, 0, 0))
    assert palette(red * 30 + blue * 10 + clear * 60) == (Dominant("#fa0a0a", 0.75), Dominant("#0a0afa", 0.25))
    assert palette(clear * 5) == ()
    shades = b"".join(bytes((value, value, value, 255)) for value in range(256))
    colours = palette(shades)
    assert len(colours) == 6
    assert sum(colour.fraction for colour in colours) == pytest.approx(1, abs=0.01)


def photograph() -> bytes:
    exif = pictures.gps_exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model 7"
    photo = exif.get_ifd(0x8769)
    photo[0x829A], photo[0x9003], photo[0x8827] = IFDRational(1, 250), "2026:11:28 10:00:00", 400
    return pictures.encoded(pictures.scene(200, 150), "jpeg", exif=exif)


def test_fields_of_a_camera_tell_no_place() -> None:
    inspected = inspect(photograph(), ALL - {"position"}, Limits())
    assert inspected.exif is not None
    assert inspected.exif["Make"] == "Maker"
    assert inspected.exif["Model"] == "Model 7"
    assert repr([inspected.exif[name] for name in ("PhotographicSensitivity", "ExposureTime")]) == "[400, 0.004]"
    assert inspected.position is None
    assert not any("gps" in name.lower() for name in inspected.exif)


def test_a_position_is_told_where_it_is_asked_for() -> None:
    exif = Image.Exif()
    place = exif.get_ifd(0x8825)
    place.update({1: "S", 2: (33.0, 51.0, 24.0), 3: "E", 4: (151.0, 12.0, 36.0), 5: b"\0", 6: 12.5})
    data = pictures.encoded(pictures.scene(40, 30), "jpeg", exif=exif)
    inspected = inspect(data, frozenset({"position"}), Limits())
    assert inspected == Inspected(position=Position(-33.8566667, 151.21, 12.5))
    for wrong in ({2: (91.0, 0.0, 0.0)}, {2: (33.0,)}, {4: (181.0, 0.0, 0.0)}):
        place.update(wrong)
        odd = pictures.encoded(pictures.scene(40, 30), "jpeg", exif=exif)
        assert inspect(odd, frozenset({"position"}), Limits()).position is None


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "I;16", "P"])
def test_pictures_of_all_bands(mode: str) -> None:
    image = pictures.scene(300, 200).convert("L" if mode in ("I;16", "LA") else mode if mode != "RGBA" else "RGB")
    if mode in ("RGBA", "LA"):
        image.putalpha(200)
    if mode == "I;16":
        image = Image.fromarray((np.asarray(image).astype(np.uint16) << 8) + 7)
    out = io.BytesIO()
    image.save(out, "PNG")
    inspected = inspect(out.getvalue(), ALL, Limits())
    assert inspected.thumbhash is not None
    assert bool(inspected.thumbhash[2] & 0x80) == (mode in ("RGBA", "LA"))
    assert inspected.blurhash is not None
    assert len(inspected.blurhash) == 28
    assert inspected.colors
    assert inspected.exif == {}
    assert inspected.position is None


def test_a_drawing_an_animation_and_a_damaged_file() -> None:
    drawing = inspect(pictures.svg('<rect width="40" height="20" fill="#ff0000"/>'), ALL, Limits())
    assert drawing.colors == (Dominant("#ff0000", 1.0),)
    assert inspect(pictures.animation(4), ALL, Limits()).colors
    with pytest.raises(SourceUnreadable):
        inspect(photograph()[:3000], ALL, Limits())
