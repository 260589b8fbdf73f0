"""What results keep of a source's metadata, written and read by exiftool, which knows every format."""

import json
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgserve.imaging.worker.metadata import exif, iptc, xmp
from imgserve.imaging.worker.metadata.kept import MOST_BYTES
from imgserve.request.encode import Encode, Format, Metadata
from imgserve.request.imageinfo import Size
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import LoadOptions
from tests.support import pictures
from tests.unit.imaging.conftest import opened, render_bytes
from tests.unit.imaging.test_encode import file_of

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
FORMATS: tuple[Format, ...] = ("jpeg", "png", "webp", "gif", "tiff", "avif")
SIZE = (60, 80)  # of a picture of 120 x 160 that lies on its side: orientation 6
STORED = (160, 120)
WRITTEN = (
    "-Artist=Ada Lovelace", "-Copyright=(c) Ada", "-Make=Acme", "-Model=One", "-Orientation#=6", "-ISO=200",
    "-GPSLatitude=48.1", "-GPSLatitudeRef=N", "-ExifImageWidth=160", "-ExifImageHeight=120", "-UserComment=hello",
    "-ColorSpace#=65535", "-InteropIndex=R98", "-ThumbnailImage<={thumbnail}",
    "-IPTC:By-line=Bob", "-IPTC:By-line=Carl", "-IPTC:CopyrightNotice=(c) Bøb", "-IPTC:City=Paris",
    "-IPTC:CodedCharacterSet=UTF8",
    "-XMP-dc:Creator=Eve", "-XMP-dc:Creator=Mallory", "-XMP-dc:Rights=(c) Ève & <co>", "-XMP-dc:Title=A title",
    "-XMP-exif:GPSLatitude=48.2", "-XMP-tiff:Orientation#=6", "-XMP-xmp:Rating=4",
    "-XMP-xmp:ThumbnailImage<={thumbnail}",
)  # fmt: skip

CREDIT_OF_EXIF = {"IFD0:Artist": "Ada Lovelace", "IFD0:Copyright": "(c) Ada"}
CREDIT_OF_XMP = {"XMP-dc:Creator": ["Eve", "Mallory"], "XMP-dc:Rights": "(c) Ève & <co>"}
CREDIT_OF_IPTC = {"IPTC:By-line": ["Bob", "Carl"], "IPTC:CopyrightNotice": "(c) Bøb", "IPTC:CodedCharacterSet": "UTF8"}
ALL_OF_EXIF = CREDIT_OF_EXIF | {
    "IFD0:Make": "Acme", "IFD0:Model": "One", "IFD0:Orientation": "Horizontal (normal)", "ExifIFD:ISO": 200,
    "ExifIFD:UserComment": "hello", "ExifIFD:ColorSpace": "sRGB", "ExifIFD:ExifImageWidth": 60,
    "ExifIFD:ExifImageHeight": 80,
}  # fmt: skip
ALL_OF_XMP = CREDIT_OF_XMP | {
    "XMP-dc:Title": "A title", "XMP-tiff:Orientation": "Horizontal (normal)", "XMP-xmp:Rating": 4,
}  # fmt: skip
ALL_OF_IPTC = CREDIT_OF_IPTC | {"IPTC:City": "Paris"}
Fields = dict[str, Any]
KEPT: dict[Metadata, tuple[Fields, Fields, Fields]] = {
    "none": ({}, {}, {}),
    "copyright": (CREDIT_OF_EXIF, CREDIT_OF_XMP, CREDIT_OF_IPTC),
    "all": (ALL_OF_EXIF, ALL_OF_XMP, ALL_OF_IPTC),
}
# Written by exiftool, or by the standards' own rules, whoever the source is of.
TECHNICAL = {
    "IFD0:XResolution", "IFD0:YResolution", "IFD0:ResolutionUnit", "ExifIFD:ExifVersion", "ExifIFD:FlashpixVersion",
    "ExifIFD:ComponentsConfiguration", "IPTC:ApplicationRecordVersion", "XMP-x:XMPToolkit",
    "IPTC:EnvelopeRecordVersion", "InteropIFD:InteropIndex", "InteropIFD:InteropVersion", "IFD0:YCbCrPositioning",
}  # fmt: skip
OF_A_TIFF = {
    "IFD0:" + name
    for name in (
        "ImageWidth", "ImageHeight", "BitsPerSample", "Compression", "PhotometricInterpretation", "StripOffsets",
        "Orientation", "SamplesPerPixel", "RowsPerStrip", "StripByteCounts", "PlanarConfiguration", "Predictor",
        "SampleFormat",
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A picture of each format with all of these fields, as far as exiftool can write them."""
    folder = tmp_path_factory.mktemp("sources")
    thumbnail = folder / "thumbnail.jpg"
    thumbnail.write_bytes(pictures.encoded(pictures.detailed(40, 30), "jpeg"))
    places = {name: folder / f"source.{name}" for name in ("jpeg", "png", "webp", "tiff", "avif", "heic")}
    for name, place in places.items():
        place.write_bytes(pictures.encoded(pictures.detailed(*STORED), name))
    big = folder / "big.jpeg"
    big.write_bytes(places["jpeg"].read_bytes())
    words = [word.format(thumbnail=thumbnail) for word in WRITTEN]
    subprocess.run(["exiftool", "-q", "-q", "-m", "-overwrite_original", *words, *places.values()], check=True)
    subprocess.run(["exiftool", "-q", "-m", "-overwrite_original", "-ExifByteOrder=MM", *words, big], check=True)
    return {name: place.read_bytes() for name, place in (places | {"big": big}).items()}


def fields_of(files: dict[str, bytes], folder: Path) -> dict[str, dict[str, Any]]:
    """The fields of the three blocks, as exiftool reads them."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    command = ["exiftool", "-G1", "-j", "-a", "-struct", "-charset", "utf8", *(str(folder / name) for name in files)]
    read = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    groups = ("IFD", "ExifIFD", "GPS", "Interop", "XMP", "IPTC", "Photoshop", "MakerNotes")
    return {
        Path(one["SourceFile"]).name: {tag: value for tag, value in one.items() if tag.startswith(groups)}
        for one in read
    }


def without(fields: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


@needs_exiftool
@pytest.mark.parametrize("metadata", ["none", "copyright", "all"])
def test_each_format_keeps_what_it_can_hold(sources: dict[str, bytes], metadata: Metadata, tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for output_format in FORMATS:
        files[output_format] = file_of(Encode(output_format, metadata=metadata), sources["jpeg"], SIZE)
        assert opened(files[output_format]).size == SIZE, output_format
    of_exif, of_xmp, of_iptc = KEPT[metadata]
    for name, fields in fields_of(files, tmp_path).items():
        expected = of_xmp | (of_exif if name != "gif" else {}) | (of_iptc if name in ("jpeg", "tiff") else {})
        technical = TECHNICAL if metadata == "all" else set()
        technical = technical | (OF_A_TIFF | TECHNICAL if name == "tiff" else set())
        assert without(fields, technical) == without(expected, technical), name


@needs_exiftool
@pytest.mark.parametrize("metadata", ["copyright", "all"])
def test_each_source_is_read(sources: dict[str, bytes], metadata: Metadata, tmp_path: Path) -> None:
    files = {name: file_of(Encode("jpeg", metadata=metadata), data, SIZE) for name, data in sources.items()}
    for name, fields in fields_of(files, tmp_path).items():
        of_exif, of_xmp, _ = KEPT[metadata]
        assert {tag: fields.get(tag) for tag in of_xmp | of_exif} == of_xmp | of_exif, name
        assert not [tag for tag in fields if "GPS" in tag or "Thumbnail" in tag], name
        if name in ("jpeg", "big", "tiff"):
            assert {tag: fields.get(tag) for tag in CREDIT_OF_IPTC} == CREDIT_OF_IPTC


@needs_exiftool
def test_positions_only_if_they_are_kept(sources: dict[str, bytes], tmp_path: Path) -> None:
    encode = Encode("jpeg", metadata="all", keep_position=True)
    files = {name: file_of(encode, sources[name], SIZE) for name in ("jpeg", "big", "tiff", "png")}
    for fields in fields_of(files, tmp_path).values():
        assert fields["GPS:GPSLatitude"] == "48 deg 6' 0.00\""
        assert fields["XMP-exif:GPSLatitude"] == "48 deg 12' 0.00\" N"


@needs_exiftool
def test_the_credit_of_a_block_that_a_format_lacks_goes_into_xmp(tmp_path: Path) -> None:
    source = tmp_path / "source.jpeg"
    source.write_bytes(pictures.encoded(pictures.detailed(*STORED), "jpeg"))
    words = ["-IPTC:By-line=Bob", "-IPTC:By-line=Carl", "-IPTC:CopyrightNotice=(c) Bob"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *words, source], check=True)
    files = {name: file_of(Encode(name, metadata="copyright"), source.read_bytes(), STORED) for name in ("png", "gif")}
    for fields in fields_of(files, tmp_path).values():
        assert fields == {"XMP-dc:Creator": ["Bob", "Carl"], "XMP-dc:Rights": "(c) Bob"}


@needs_exiftool
def test_together_with_max_bytes_and_a_profile(sources: dict[str, bytes], tmp_path: Path) -> None:
    for name in ("jpeg", "webp", "avif"):
        encode = Encode(name, metadata="all", profile="p3")
        most = len(file_of(encode, sources["jpeg"], SIZE)) - 100
        data = file_of(msgspec.structs.replace(encode, max_bytes=most), sources["jpeg"], SIZE)
        assert len(data) <= most
        assert fields_of({name: data}, tmp_path)[name]["ExifIFD:ColorSpace"] == "Uncalibrated"
        assert opened(data).info["icc_profile"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_transparent_picture_keeps_its_alpha(name: Format) -> None:
    scene = pictures.scene(*STORED, "RGBA")
    exif_of_pillow = Image.Exif()
    exif_of_pillow[exif.COPYRIGHT] = "(c) Ada"
    source = pictures.encoded(scene, "webp", exif=exif_of_pillow)
    data = file_of(Encode(name, metadata="copyright"), source, STORED)
    shown = opened(data)
    assert shown.convert("RGBA").getchannel("A").getextrema() == ((255, 255) if name == "jpeg" else (0, 255))
    if name not in ("gif", "tiff"):
        assert dict(shown.getexif()) == {exif.COPYRIGHT: "(c) Ada"}


NOTE = b"a maker note that points into itself" * 3
ENTRIES = {0x010F: (2, 5, b"Acme\0"), 0x9C9F: (1, 6, b"x\0y\0\0\0")}


def block_with_note(at: int, order: str = "<") -> bytes:
    """Make, XP's subject and a maker note at this address."""
    photo_at = 8 + 2 + 12 * 3 + 4
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    first = struct.pack(f"{order}H", 3)
    first += struct.pack(f"{order}HHII", 0x010F, 2, 5, photo_at + 18)
    first += struct.pack(f"{order}HHII", 0x8769, 4, 1, photo_at)
    first += struct.pack(f"{order}HHII", 0x9C9F, 1, 6, photo_at + 24) + bytes(4)
    photo = struct.pack(f"{order}HHHII", 1, 0x927C, 7, len(NOTE), at) + bytes(4)
    body = head + first + photo + b"Acme\0\0" + b"x\0y\0\0\0"
    return body.ljust(at, b"\0") + NOTE


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("at", [80, 81, 100, 300])
def test_a_maker_note_keeps_its_place_and_goes_with_the_position(at: int, order: str) -> None:
    read = exif.read(block_with_note(at, order))
    assert read is not None
    assert NOTE not in exif.block(exif.cleaned(read, Size(9, 9), "srgb", keep_position=False))
    written = exif.block(exif.cleaned(read, Size(9, 9), "srgb", keep_position=True))
    assert written.index(NOTE) == at
    again = exif.read(written)
    assert again is not None
    assert (again.main[0x010F].value, again.photo[0x927C].value) == (b"Acme\0", NOTE)
    assert again.main[0x9C9F].value == ENTRIES[0x9C9F][2]


def test_previews_and_the_pictures_own_data_are_no_metadata() -> None:
    kept = (iptc.Dataset(1, 90, b"\x1b%G"), iptc.Dataset(2, 90, b"Paris"), iptc.Dataset(3, 10, b"x"))
    dropped = (iptc.Dataset(2, 202, b"a preview"), iptc.Dataset(7, 10, b"x"), iptc.Dataset(8, 10, b"a picture"))
    assert iptc.cleaned((*kept, *dropped)) == kept


def test_a_packet_that_grows_beyond_a_segment_is_dropped() -> None:
    packet = PACKET.replace("a&quot;", ">" * 40_000).encode()  # each becomes an entity
    assert len(packet) < MOST_BYTES < len(xmp.cleaned(packet, keep_position=True))
    segment = b"http://ns.adobe.com/xap/1.0/\0" + packet
    plain = pictures.encoded(pictures.detailed(*STORED), "jpeg")
    header = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big")
    data = file_of(Encode("jpeg", metadata="all"), plain[:2] + header + segment + plain[2:], STORED)
    assert data == file_of(Encode("jpeg"), plain, STORED)


def test_a_far_maker_note_comes_near() -> None:
    read = exif.read(block_with_note(70_000))
    assert read is not None
    written = exif.block(exif.cleaned(read, Size(9, 9), "srgb", keep_position=True))
    assert len(written) < 300
    assert NOTE in written


def test_entries_that_lie_one_over_the_other_do_not_add_up() -> None:
    entries = b"".join(struct.pack("<HHII", 0x9000 + n, 7, 60_000, 8) for n in range(400))
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 400) + entries + bytes(70_000)
    read = exif.read(block)
    assert read is not None
    assert 0 < sum(len(entry.value) for entry in read.main.values()) < 66_000


def test_a_block_of_nothing_but_a_position_is_no_block() -> None:
    position = struct.pack("<HHHI4s", 1, 1, 2, 2, b"N\0\0\0") + bytes(4)
    block = b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x8825, 4, 1, 26) + bytes(4) + position
    read = exif.read(block)
    assert read is not None
    assert read.position
    kept = exif.cleaned(read, Size(9, 9), "srgb", keep_position=False)
    assert [dict(one) for one in (kept.main, kept.photo, kept.position)] == [{}, {}, {}]


@given(
    st.binary(max_size=200)
    | st.tuples(st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]), st.binary()).map(b"".join)
)
def test_any_bytes_are_an_exif_block_or_none(data: bytes) -> None:
    read = exif.read(data)
    if read is not None:
        kept = exif.cleaned(read, Size(7, 9), "p3", keep_position=True)
        again = exif.read(exif.block(kept))
        assert again is not None
        assert (
            again.main.items()
            >= {tag: entry for tag, entry in kept.main.items() if tag not in (0x8769, 0x8825)}.items()
        )
        exif.block(exif.in_order(kept, "big"))
        exif.copyright_only(read)


@given(st.binary(max_size=60).map(lambda data: iptc.PREFIX + b"8BIM\x04\x04\0\0" + data) | st.binary(max_size=200))
def test_any_bytes_are_datasets_or_none(data: bytes) -> None:
    datasets = iptc.read(data)
    assert iptc.read(iptc.photoshop(iptc.bare(datasets))) == datasets
    iptc.credit(iptc.copyright_only(datasets))


PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:d="http://www.dji.com/drone-dji/1.0/" xmlns:t="http://ns.adobe.com/tiff/1.0/"'
    ' xmlns="http://purl.org/dc/elements/1.1/" d:GpsLatitude="48" d:Pitch="a&quot;&#10;&lt;b" t:Orientation="6">'
    "<rights><rdf:Alt><rdf:li xml:lang='x-default'>(c) A &amp; B</rdf:li></rdf:Alt></rights>"
    "<d:Longitude><rdf:li>11</rdf:li></d:Longitude></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def test_an_xmp_packet_is_written_as_it_came_but_for_positions() -> None:
    cleaned = xmp.cleaned(PACKET.encode(), keep_position=False).decode()
    assert "Latitude" not in cleaned
    assert "Longitude" not in cleaned
    assert 't:Orientation="1"' in cleaned
    assert 'd:Pitch="a&quot;&#10;&lt;b"' in cleaned
    assert "(c) A &amp; B" in cleaned
    assert xmp.credit(cleaned.encode()).copyright == "(c) A & B"
    assert 'GpsLatitude="48"' in xmp.cleaned(PACKET.encode("utf-16"), keep_position=True).decode()


@pytest.mark.parametrize(
    "packet",
    [
        b"", b"<a>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"\xff\xfe", "<a>".join([""] * 99).encode(),
        b"<a>" * 60 + b"</a>" * 60,
    ],
)  # fmt: skip
def test_a_broken_packet_is_refused(packet: bytes) -> None:
    for read in (xmp.credit, lambda data: xmp.cleaned(data, keep_position=False)):
        with pytest.raises(xmp.XmpUnreadable):
            read(packet)


def with_a_strange_name(png: bytes) -> bytes:
    """libvips names a text of a PNG by its keyword."""
    body = b"tEXt\x91\xff\0text"
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize("metadata", ["none", "all"])
def test_a_picture_whose_fields_have_no_readable_names(metadata: Metadata) -> None:
    plain = pictures.encoded(pictures.detailed(*STORED), "png")
    data = file_of(Encode("png", metadata=metadata), with_a_strange_name(plain), STORED)
    assert data == file_of(Encode("png"), plain, STORED)


@pytest.mark.parametrize("alpha", [255, 100])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_such_a_picture_with_an_alpha_is_made_smaller(mode: str, alpha: int) -> None:
    scene = pictures.detailed(*STORED)
    scene.putalpha(alpha)
    plain, size = pictures.encoded(scene.convert(mode), "png"), (STORED[0] // 2, STORED[1] // 2)
    assert file_of(Encode("png"), with_a_strange_name(plain), size) == file_of(Encode("png"), plain, size)


def test_a_frame_of_such_a_film_is_taken() -> None:
    load = LoadOptions(page=1, frames="first")
    film = pictures.film([pictures.scene(*STORED), pictures.detailed(*STORED)], "png", [100, 100])
    one, other = (render_bytes(data, Resize(), STORED, load=load) for data in (film, with_a_strange_name(film)))
    assert one == other


@pytest.mark.parametrize("metadata", ["copyright", "all"])
def test_broken_blocks_are_dropped_and_the_picture_is_not(metadata: Metadata) -> None:
    plain = pictures.encoded(pictures.detailed(*STORED), "jpeg")
    segments = (
        (0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"), (0xE1, b"http://ns.adobe.com/xap/1.0/\0<!DOCTYPE a><a/>"),
        (0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff"),
    )  # fmt: skip
    broken = b"".join(bytes((0xFF, kind)) + (len(body) + 2).to_bytes(2, "big") + body for kind, body in segments)
    shown = opened(file_of(Encode("jpeg", metadata=metadata), plain[:2] + broken + plain[2:], STORED))
    # libvips reads the one of broken EXIF, and makes it smaller by other rounding.
    assert pictures.distance(shown, opened(file_of(Encode("jpeg"), plain, STORED))) < 2
    assert set(shown.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}
