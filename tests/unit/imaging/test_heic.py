"""HEIC: what other decoders see in it, turned once, in sRGB; and what its boxes say against what HEVC says."""

import contextlib
import io
import struct
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from pi_heif.heif import open_heif
from PIL import ExifTags, Image, ImageOps

from imgserve.imaging.abilities import HEIC_PACKAGE
from imgserve.imaging.faults import PictureTooLarge, SourceUnreadable
from imgserve.imaging.worker.formats import heic, hevc, turns
from imgserve.imaging.worker.probe import probe
from imgserve.request.encode import Encode, Metadata
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from tests.support import heif, pictures, profiles
from tests.unit.imaging.conftest import Render, facts
from tests.unit.imaging.test_encode import file_of

SCENE = pictures.scene(101, 75)
LIMITS = Limits()


def by_another(data: bytes) -> Image.Image:
    """As libheif shows the whole file, with its own turns and crops."""
    file = open_heif(data)
    return file[file.primary_index].to_pillow()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(heif.encoded(SCENE), id="420"),
        pytest.param(heif.encoded(SCENE, chroma=444), id="444"),
        pytest.param(heif.encoded(pictures.scene(101, 75, "RGBA")), id="alpha"),
        pytest.param(heif.encoded(pictures.scene(64, 48, "L")), id="grey"),
        pytest.param(heif.encoded(pictures.scene(300, 200), tile_size=128), id="grid"),
        pytest.param(heif.encoded(pictures.scene(301, 199), tile_size=128), id="grid of odd sides"),
        pytest.param(heif.encoded(SCENE, matrix_coefficients=1, full_range_flag=0), id="BT.709, limited"),
    ],
)
def test_it_looks_as_by_another_decoder(render: Render, data: bytes) -> None:
    expected = by_another(data)
    info = probe(data, LIMITS, is_complete=True)
    assert info is not None
    assert info == ImageInfo("heic", *expected.size, has_alpha=expected.mode == "RGBA")
    result = render(data, Resize(), expected.size)
    most = 0.5 if info.has_alpha else 0  # colours are multiplied by their alpha and back
    assert pictures.distance(result, expected) <= most


def test_ten_bits_stay_readable_and_white(render: Render) -> None:
    scene = pictures.scene(64, 64)
    assert pictures.distance(render(heif.deep(scene), Resize(), (64, 64)), scene) < 1
    white = render(heif.deep(Image.new("RGB", (64, 64), "white")), Resize(), (32, 32))
    assert white.getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
@pytest.mark.parametrize("name", ["heic", "avif"])
def test_it_is_turned_once(render: Render, name: str, orientation: int) -> None:
    """The writers leave EXIF's number in the file, beside the boxes."""
    upright = pictures.scene(80, 48)
    data = pictures.oriented(upright, orientation, name)
    info = probe(data, LIMITS, is_complete=True)
    assert info is not None
    assert (info.width_px, info.height_px) == (80, 48)
    assert pictures.distance(render(data, Resize(), (80, 48)), upright) < 3


@pytest.mark.parametrize("name", ["heic", "avif"])
def test_exif_alone_turns_nothing(render: Render, name: str) -> None:
    """By ISO 23008-12 only the boxes count."""
    scene = pictures.scene(80, 48)
    data = pictures.oriented(scene, 3, name)
    unturned = heif.changed(data, b"irot", 0, b"\0") if name == "heic" else data.replace(b"irot\2", b"irot\0")
    assert unturned != data
    stored = pictures.stored(scene, 3)
    assert pictures.distance(render(unturned, Resize(), (80, 48)), stored) < 3


@pytest.mark.parametrize("chosen", list(product([None, 1, 2, 3], [None, 0, 1])), ids=str)
def test_turns_and_mirrors_are_libheifs(render: Render, chosen: tuple[int | None, int | None]) -> None:
    data = heif.encoded(pictures.scene(64, 32))
    for kind, value in zip((b"irot", b"imir"), chosen, strict=True):
        data = data if value is None else heif.with_property(data, kind, bytes([value]))
    expected = by_another(data)
    assert pictures.distance(render(data, Resize(), expected.size), expected) == 0


def test_orientations_are_exifs() -> None:
    """Against Pillow, which turns by EXIF's number."""
    scene = pictures.scene(6, 4)
    for first, second in product([(b"irot", n) for n in range(4)], [(b"imir", n) for n in range(2)]):
        turned = scene.rotate(90 * first[1], expand=True)
        turned = ImageOps.mirror(turned) if second[1] else ImageOps.flip(turned)
        exif = Image.Exif()
        exif[0x112] = turns.orientation([(kind, bytes([value])) for kind, value in (first, second)])
        shown = scene.copy()
        shown.info["exif"] = exif.tobytes()
        assert ImageOps.exif_transpose(shown).tobytes() == turned.tobytes()


def test_a_profile_is_converted(render: Render) -> None:
    profile = pictures.wide_gamut_profile()
    data = heif.encoded(SCENE, icc_profile=profile, save_nclx_profile=False)
    expected = render(pictures.encoded(SCENE, "png", profile=profile), Resize(), (101, 75))
    assert pictures.distance(expected, SCENE) > 3
    assert pictures.distance(render(data, Resize(), (101, 75)), expected) < 1.5


def test_colour_numbers_are_converted(render: Render) -> None:
    data = heif.encoded(SCENE, color_primaries=12, transfer_characteristic=13)
    profile = profiles.DISPLAY_P3.profile()
    expected = render(pictures.encoded(SCENE, "png", profile=profile), Resize(), (101, 75))
    assert pictures.distance(expected, SCENE) > 3
    assert pictures.distance(render(data, Resize(), (101, 75)), expected) < 1.5


def test_its_header_is_enough() -> None:
    data = heif.encoded(pictures.detailed(400, 300))
    meta_ends = heif.place(data, b"meta")[2]
    assert facts(probe(data[:meta_ends], LIMITS, is_complete=False)) == ("heic", 400, 300, 1)
    assert probe(data[: meta_ends - 1], LIMITS, is_complete=False) is None


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.99])
def test_a_truncated_file_is_refused(render: Render, kept: float) -> None:
    data = heif.encoded(pictures.scene(300, 200), tile_size=128)
    with pytest.raises(SourceUnreadable):
        render(data[: int(len(data) * kept)], Resize(), (30, 20))


def larger(data: bytes, width: int, height: int) -> bytes:
    return heif.changed(data, b"ispe", 4, struct.pack(">II", width, height))


def test_a_size_beyond_the_limits_is_refused_by_the_header() -> None:
    with pytest.raises(PictureTooLarge, match="frame_pixels"):
        probe(larger(heif.encoded(pictures.scene(64, 64)), 60_000, 60_000), LIMITS, is_complete=True)


def test_what_is_decoded_counts_not_what_is_shown() -> None:
    cropped = heif.encoded(SCENE)  # by its clean aperture
    assert heif.place(cropped, b"clap")
    with pytest.raises(PictureTooLarge, match="frame_pixels"):
        probe(larger(cropped, 60_000, 60_000), LIMITS, is_complete=True)


def test_hevc_may_not_be_larger_than_the_boxes_say(render: Render) -> None:
    data = larger(heif.encoded(pictures.scene(640, 640)), 64, 64)
    assert facts(probe(data, LIMITS, is_complete=True)) == ("heic", 64, 64, 1)
    with pytest.raises(SourceUnreadable, match="larger than it says"):
        render(data, Resize(), (64, 64))


def test_nor_may_parameters_within_the_picture(render: Render) -> None:
    """They would replace those of the configuration, which say 64 x 64."""
    small, large = heif.encoded(pictures.scene(64, 64)), heif.encoded(pictures.scene(640, 640))
    _, begin, end = heif.place(large, b"hvcC")
    configuration = large[begin + 8 : end]
    (parameters,) = hevc._configured(configuration)
    unit = struct.pack(">I", len(parameters)) + parameters
    _, mdat, _ = heif.place(small, b"mdat")
    data = small[: mdat + 8] + unit + small[mdat + 8 + len(unit) :]
    with pytest.raises(SourceUnreadable, match=r"broken|larger"):
        render(data, Resize(), (64, 64))
    assert list(hevc.sizes(configuration, unit)) == [Size(640, 640)] * 2


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(heif.renamed(heif.encoded(SCENE), b"ispe", b"free"), id="no size"),
        pytest.param(heif.renamed(heif.encoded(SCENE), b"hvcC", b"free"), id="no configuration"),
        pytest.param(heif.renamed(heif.encoded(SCENE), b"pitm", b"free"), id="no picture"),
        pytest.param(heif.renamed(heif.encoded(SCENE), b"iloc", b"free"), id="no places"),
        pytest.param(heif.encoded(SCENE).replace(b"hvc1", b"unci"), id="another coding"),
        pytest.param(heif.changed(heif.encoded(SCENE), b"clap", 0, bytes(32)), id="cropped to nothing"),
        pytest.param(heif.changed(heif.encoded(SCENE), b"clap", 0, b"\0\0\xff\xff"), id="cropped beyond"),
        pytest.param(heif.encoded(pictures.scene(300, 200), tile_size=128).replace(b"dimg", b"cdsc"), id="no tiles"),
    ],
)
def test_broken_boxes_are_refused(render: Render, data: bytes) -> None:
    with pytest.raises(SourceUnreadable):
        render(data, Resize(), (101, 75))


def test_a_grid_fits_its_tiles() -> None:
    data = heif.encoded(pictures.scene(300, 200), tile_size=128)
    grid = bytes([0, 0, 1, 2]) + struct.pack(">HH", 300, 200)
    assert data.count(grid) == 1
    for rows, columns, width, height in ((1, 3, 300, 200), (1, 2, 1300, 200), (1, 2, 200, 200), (255, 255, 300, 200)):
        odd = data.replace(grid, bytes([0, 0, rows, columns]) + struct.pack(">HH", width, height))
        with pytest.raises(SourceUnreadable, match="grid"):
            probe(odd, LIMITS, is_complete=True)


def test_odd_files_cost_little() -> None:
    """Each box that counts something counts as far as it can."""
    data = heif.encoded(pictures.scene(300, 200), tile_size=128)
    for kind, at in ((b"iloc", 6), (b"ipma", 4), (b"iinf", 4), (b"dimg", 2)):
        odd = heif.changed(data, kind, at, b"\xff\xff")
        with contextlib.suppress(SourceUnreadable):
            probe(odd, LIMITS, is_complete=True)


def test_without_a_decoder_the_refusal_says_what_to_install(tmp_path: Path) -> None:
    """In an interpreter of its own, where neither package can be imported."""
    (tmp_path / "a.heic").write_bytes(heif.encoded(SCENE))
    program = (
        "import sys; from pathlib import Path\n"
        "sys.modules['pi_heif'] = sys.modules['pillow_heif'] = None\n"
        "from imgserve.imaging.abilities import abilities\n"
        "from imgserve.imaging.faults import SourceUnreadable\n"
        "from imgserve.imaging.worker.probe import probe\n"
        "from imgserve.request.limits import Limits\n"
        "assert 'heic' not in abilities().reads and 'bmp' in abilities().reads\n"
        "try: probe(Path(sys.argv[1]).read_bytes(), Limits(), is_complete=True)\n"
        "except SourceUnreadable as error: print(error.sentence())\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.heic"], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.startswith("the source is a HEIC picture, and this installation has no decoder")
    assert HEIC_PACKAGE in shown.stdout


def test_depth_is_kept_until_the_end() -> None:
    scene = pictures.scene(64, 64)
    data = heif.deep(scene, quality=-1)
    image = heic.decode(data, heic.read(data))
    assert (image.format, image.interpretation) == ("ushort", "rgb16")
    exact = np.asarray(scene).astype(int) * 257
    assert np.abs(image.numpy().astype(int) - exact).mean() < 257 / 4


def test_its_metadata_can_be_kept() -> None:
    """As those of other formats: copyright and artist alone, or all but the position, upright."""
    exif = pictures.gps_exif()
    exif[ExifTags.Base.Copyright] = "(c) Ada"
    exif[ExifTags.Base.Orientation] = 6
    rdf = b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + rdf + b"</x:xmpmeta>"
    data = heif.encoded(pictures.scene(64, 48), exif=exif.tobytes(), xmp=xmp)
    kept = {}
    choices: tuple[Metadata, ...] = ("none", "copyright", "all")
    for choice in choices:
        result = Image.open(io.BytesIO(file_of(Encode("jpeg", metadata=choice), data, (64, 48))))
        kept[choice] = dict(result.getexif())
    assert kept["none"] == {}
    assert kept["copyright"][ExifTags.Base.Copyright] == "(c) Ada"
    assert kept["copyright"].keys() <= {ExifTags.Base.Copyright, ExifTags.Base.Artist}
    assert kept["all"][ExifTags.Base.Orientation] == 1
    assert ExifTags.IFD.GPSInfo not in kept["all"]
    image = heic.decode(data, heic.read(data))
    assert image.get("xmp-data") == xmp


def test_metadata_that_are_cut_off_are_left_out() -> None:
    """The picture matters more."""
    data = heif.encoded(pictures.scene(64, 48), exif=pictures.gps_exif().tobytes())
    whole = heic.decode(data, heic.read(data))
    assert "exif-data" in whole.get_fields()
    cut = data[: data.index(pictures.GPS_CITY.encode())]
    assert "exif-data" not in heic.decode(cut, heic.read(cut)).get_fields()


def test_the_other_package_decodes_it_too(tmp_path: Path) -> None:
    """Where that alone is installed."""
    (tmp_path / "a.heic").write_bytes(heif.deep(SCENE))
    program = (
        "import sys; from pathlib import Path\n"
        "sys.modules['pi_heif'] = None\n"
        "from imgserve.imaging.worker.formats import heic\n"
        "data = Path(sys.argv[1]).read_bytes()\n"
        "image = heic.decode(data, heic.read(data))\n"
        "print(image.width, image.height, image.format, 'pillow_heif' in sys.modules)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.heic")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout == "101 75 ushort True\n"
