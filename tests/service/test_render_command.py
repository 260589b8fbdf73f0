"""imgserve render: the command as a subprocess, no server."""

from pathlib import Path

import pytest

from imgserve.cli.main import main
from tests.service.conftest import opened
from tests.support.operating import command
from tests.support.pictures import encoded, scene, svg

SQUARE = svg('<rect width="40" height="20" fill="#00ff00"/>')


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("pictures")
    (top / "photo.jpg").write_bytes(encoded(scene(640, 480), "jpeg"))
    (top / "icon.svg").write_bytes(SQUARE)
    (top / "words.png").write_text("no picture")
    return top


def test_render_a_file(pictures: Path, tmp_path: Path) -> None:
    told = command("render", pictures / "photo.jpg", f"{tmp_path}/new/{{$width}}-{{$basename}}.webp", "--width", "64")
    assert told.returncode == 0, told.stderr
    made = tmp_path / "new/64-photo.webp"
    assert told.stdout.decode() == f"{made}  64x48\n"
    image = opened(made.read_bytes())
    assert (image.format, image.size) == ("WEBP", (64, 48))
    assert list(made.parent.iterdir()) == [made]


def test_render_from_and_to_a_pipe(pictures: Path) -> None:
    told = command("render", "-", "-", "--width", "32", "--format", "png", stdin=(pictures / "photo.jpg").read_bytes())
    assert told.returncode == 0, told.stderr
    image = opened(told.stdout)
    assert (image.format, image.size) == ("PNG", (32, 24))
    told = command("render", "-", "-", "--height", "24", stdin=(pictures / "photo.jpg").read_bytes())
    image = opened(told.stdout)
    assert (image.format, image.size) == ("JPEG", (32, 24))


def test_render_follows_links_and_odd_names(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "a link.jpg").symlink_to(pictures / "photo.jpg")
    told = command("render", tmp_path / "a link.jpg", tmp_path / "ü?#%41.png", "--width", "16")
    assert told.returncode == 0, told.stderr
    assert opened((tmp_path / "ü?#%41.png").read_bytes()).size == (16, 12)


def test_render_what_is_there_of_a_picture_that_is_cut_off(pictures: Path) -> None:
    half = (pictures / "photo.jpg").read_bytes()[:3000]
    told = command("render", "-", "-", "--width", "32", "--format", "png", stdin=half)
    assert told.returncode == 1
    assert b"--no-strict" in told.stderr
    told = command("render", "-", "-", "--width", "32", "--format", "png", "--no-strict", stdin=half)
    assert opened(told.stdout).size == (32, 24)


def test_render_what_else_resize_can(pictures: Path) -> None:
    words = ("--width", "700", "--height", "700", "--enlarge", "--format", "gif", "--background", "#ff0000")
    told = command("render", pictures / "photo.jpg", "-", *words, "--fit", "cover")
    assert told.returncode == 0, told.stderr
    image = opened(told.stdout)
    assert (image.format, image.size) == ("GIF", (700, 700))
    told = command("render", pictures / "icon.svg", "-", "--width", "40", "--format", "jpeg", "--background", "#ff0000")
    assert told.returncode == 0, told.stderr


def test_render_quality_and_gravity_change_the_picture(pictures: Path) -> None:
    made = {
        words: command("render", pictures / "photo.jpg", "-", "--width", "60", "--height", "120", *words).stdout
        for words in ((), ("--quality", "5"), ("--gravity", "west"), ("--gravity", "east"))
    }
    assert len(made["--quality", "5"]) < len(made[()]) * 0.8
    assert len(set(made.values())) == 4


def test_render_options_of_rasterize(pictures: Path) -> None:
    base = ("render", pictures / "icon.svg", "-", "--operation", "rasterize", "--format", "png", "--height", "80")
    contained, filled = (
        opened(command(*base, "--width", "80", *words).stdout).convert("RGBA") for words in ((), ("--fit", "fill"))
    )
    assert contained.size == filled.size == (80, 80)
    assert contained.getpixel((40, 2)) != filled.getpixel((40, 2))
    assert command(*base, "--dpi", "144").returncode == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("photo.jpg", "x.png"), "--width: resize needs --width, --height or both"),
        (("photo.jpg", "x.png", "--width", "0"), "--width: expected an integer from 1 to 16384, got 0"),
        (("photo.jpg", "x.png", "--width", "1.5"), "--width: expected an integer from 1 to 16384, got 1.5"),
        (("photo.jpg", "x.bmp", "--width", "9"), "DST: the extension is not a format that can be written"),
        (
            ("photo.jpg", "x.png", "--width", "9", "--format", "gif"),
            "--format: gif contradicts the extension of DST",
        ),
        (("photo.jpg", "x.png", "--width", "9", "--gravity", "up"), '--gravity: expected "attention"'),
        (("photo.jpg", "x.png", "--width", "9", "--dpi", "90"), "--dpi: belongs to --operation rasterize"),
        (
            ("photo.jpg", "x.png", "--width", "9", "--operation", "rasterize"),
            "SRC: rasterize expects an SVG; for other pictures use --operation resize",
        ),
        (("photo.jpg", "x.png", "--width", "700"), "smaller"),
        (("words.png", "x.png", "--width", "9"), ""),
        (("nothing.png", "x.png", "--width", "9"), "nothing.png cannot be used: No such file or directory (check the"),
        (("", "x.png", "--width", "9"), "it is a directory, expected a file (name a file, or"),
    ],
)
def test_render_says_what_is_wrong(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert main(["render", str(pictures / words[0]), str(tmp_path / words[1]), *words[2:]]) == 1
    sentence = capsys.readouterr().err
    assert sentence.startswith("imgserve: ")
    assert told in sentence
    assert "Traceback" not in sentence
    assert list(tmp_path.iterdir()) == []
