"""imgserve render: the command as a subprocess, no server."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from imgserve.cli.main import main
from tests.integration.test_fonts import font_of_another_name
from tests.service.conftest import opened
from tests.support import heif
from tests.support.operating import command
from tests.support.pictures import encoded, scene, svg

SQUARE = svg('<rect width="40" height="20" fill="#00ff00"/>')


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("pictures")
    (top / "photo.jpg").write_bytes(encoded(scene(640, 480), "jpeg"))
    (top / "icon.svg").write_bytes(SQUARE)
    (top / "words.png").write_text("no picture")
    (top / "empty").mkdir()
    (top / "empty/notes.txt").write_text("no picture either")
    return top


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("album")
    (top / "2026").mkdir()
    (top / "a.jpg").write_bytes(encoded(scene(200, 100), "jpeg"))
    (top / "icon.svg").write_bytes(SQUARE)
    (top / "notes.txt").write_text("no picture")
    (top / "2026/b ü.png").write_bytes(encoded(scene(100, 200), "png"))
    (top / "2026/c.PNG").write_bytes(encoded(scene(100, 100), "png"))
    return top


def pictures_in(top: Path) -> dict[str, tuple[str | None, tuple[int, int]]]:
    found = {}
    for path in sorted(top.rglob("*")):
        if path.is_file():
            image = opened(path.read_bytes())
            found[str(path.relative_to(top))] = image.format, image.size
    return found


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


def test_render_warns_once_of_what_a_format_does_not_have(album: Path, tmp_path: Path) -> None:
    told = command(
        "render", album, f"{tmp_path}/{{$basename}}.gif", "--width", "20", "--profile", "p3", "--quality", "50"
    )
    assert told.returncode == 0
    warnings = [line for line in told.stderr.decode().splitlines() if "ignored" in line]
    assert warnings == [f"imgserve: gif does not have {flag}, which is ignored" for flag in ("--quality", "--profile")]


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


def test_render_text_in_the_fonts_of_the_settings(tmp_path: Path) -> None:
    text = '<text x="9" y="70" font-size="60" font-family="Zzyx Sans">MMMM</text>'
    (tmp_path / "text.svg").write_bytes(svg(text, 'width="400" height="90"'))
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts/a.ttf").write_bytes(font_of_another_name())
    shown = []
    for place in ("", str(tmp_path / "fonts")):
        told = command("render", tmp_path / "text.svg", tmp_path / "text.png", IMGSERVE_FONT_DIRS=place)
        assert told.returncode == 0, told.stderr
        warned = f'imgserve: {tmp_path}/text.svg: the font "Zzyx Sans" is not installed'
        assert told.stderr.decode().startswith(warned) == (not place), told.stderr
        shown.append(opened((tmp_path / "text.png").read_bytes()).getchannel("A").getbbox())
    assert shown[0] != shown[1]
    told = command("render", tmp_path / "text.svg", tmp_path / "text.png", IMGSERVE_FONT_DIRS=str(tmp_path / "none"))
    assert told.returncode != 0
    assert told.stderr.decode() == f"imgserve: IMGSERVE_FONT_DIRS: {tmp_path}/none is no directory\n"


def test_render_without_a_size_keeps_it(pictures: Path, tmp_path: Path) -> None:
    assert main(["render", str(pictures / "photo.jpg"), f"{tmp_path}/x.png"]) == 0
    assert main(["render", str(pictures / "icon.svg"), f"{tmp_path}/y.png"]) == 0
    assert pictures_in(tmp_path) == {"x.png": ("PNG", (640, 480)), "y.png": ("PNG", (40, 20))}


@pytest.mark.parametrize(("size", "expected"), [("60x40", (60, 40)), ("x60", (80, 60))])
def test_render_to_a_size(pictures: Path, tmp_path: Path, size: str, expected: tuple[int, int]) -> None:
    assert main(["render", str(pictures / "photo.jpg"), f"{tmp_path}/x.png", "--resize", size]) == 0
    assert pictures_in(tmp_path) == {"x.png": ("PNG", expected)}


def test_a_switch_takes_no_path_for_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["render", "--sharpen", "a.png", "b.png"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "--sharpen: expected a value or FIELD=VALUE, got 'a.png' (to use it without a value, write it behind" in told


def test_lists_and_objects_among_the_fields_of_an_operation(pictures: Path, tmp_path: Path) -> None:
    region = '{"left": 0, "top": 0, "width": 9, "height": 9}'
    words = ["--linear", "multiply=[0.5,0,0],add=[0,20,60]", "--crop", 'width=20,height=30,focal={"x": 0.5, "y": 1}']
    words += ["--redact", f"regions=[{region}],mode=color,color=red"]
    assert main(["render", str(pictures / "photo.jpg"), f"{tmp_path}/x.png", *words]) == 0
    image = Image.open(tmp_path / "x.png").convert("RGB")
    reds, greens, blues = (band.getextrema() for band in image.crop((0, 0, 9, 9)).split())
    assert (image.size, reds, greens, blues) == ((20, 30), (128, 128), (20, 20), (60, 60)), "redact comes before linear"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("multiply=[1,2", "expected a list or an object as JSON"), ("multiply=[1]2", "expected a comma behind '[1]'"),
        ('add={"x":1,"x":2}', "expected a list or an object as JSON"), ("add=1,2", "expected FIELD=VALUE"),
        ("add=[1],", "expected FIELD=VALUE"),
    ],
)  # fmt: skip
def test_fields_that_cannot_be_read(value: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["render", "a.png", "b.png", "--linear", value])
    assert ended.value.code == 2
    assert f"--linear: {sentence}" in capsys.readouterr().err


def test_render_fields_of_an_operation(pictures: Path, tmp_path: Path) -> None:
    words = ["--crop", "left=10,width=50%", "--tint", "#f00", "--sharpen", '{"sigma": 2}', "--grayscale", "luma"]
    assert main(["render", str(pictures / "photo.jpg"), f"{tmp_path}/x.png", *words, "--blur", "2", "--flip"]) == 0
    assert pictures_in(tmp_path) == {"x.png": ("PNG", (320, 480))}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--blur", "900"), "imgserve: --blur: expected a number from 0.3 to 250, got 900\n"),
        (("--sharpen", "sigma=x"), 'imgserve: --sharpen sigma: expected a number from 0.3 to 10, got "x"\n'),
        (("--crop", "left=3,aspect=1:1"), "imgserve: --crop aspect: contradicts --crop left; give one of the two\n"),
        (("--redact", '{"regions": [{}]}'), "imgserve: --redact regions[0].left: this field is missing; "),
        (("--hue", "30", "--modulate", "lightness=3"), "--modulate: contradicts --hue; give one of the two\n"),
        (("--crop", "left=700"), "use a smaller --crop left or --crop top"),
    ],
)
def test_render_faults_of_operations(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert main(["render", str(pictures / "photo.jpg"), f"{tmp_path}/x.png", *words]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--blur", '{"sigma": 1'), ("--crop", "left=1,left=2"), ("--crop", "left=1,x")])
def test_render_a_value_that_cannot_be_read(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["render", "a", "b", *words])
    assert ended.value.code == 2
    assert f"imgserve render: {words[0]}: " in capsys.readouterr().err


@pytest.mark.parametrize("size", ["60", "x", "60x40x2", "-6x4", "a x b", "600000x1"])
def test_render_to_a_size_that_is_none(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["render", "a", "b", f"--resize={size}"])
    assert ended.value.code == 2
    assert f"--resize: expected a size such as 600x400, 600x or x400, got {size!r}" in capsys.readouterr().err


def test_render_a_directory(album: Path, tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    line = [sys.executable, "-m", "imgserve", "render", str(album), str(tmp_path / "out"), "--resize", "50x50"]
    told = subprocess.run(
        [*line, "--enlarge", "--jobs", "2"], stdout=subprocess.PIPE, stderr=terminal, timeout=60, check=False
    )
    os.close(terminal)
    shown = os.read(master, 65_536).decode()
    os.close(master)
    assert told.returncode == 0, shown
    assert "rendering" in shown
    assert "100%" in shown
    assert pictures_in(tmp_path / "out") == {
        "2026/b ü.png": ("PNG", (50, 50)), "2026/c.PNG": ("PNG", (50, 50)), "a.jpg": ("JPEG", (50, 50)),
        "icon.png": ("PNG", (50, 50)),
    }  # fmt: skip
    assert len(told.stdout.splitlines()) == 4


def test_render_a_directory_into_itself_twice(album: Path, tmp_path: Path) -> None:
    top = tmp_path / "album"
    shutil.copytree(album, top)
    for _ in range(2):
        assert main(["render", str(top), str(top / "small"), "--width", "10", "--format", "webp"]) == 0
    small = {f"{name}.webp" for name in ("2026/b ü", "2026/c", "a", "icon")}
    assert set(pictures_in(top / "small")) == small


def test_render_a_directory_to_names_with_tags(album: Path, tmp_path: Path) -> None:
    told = main(["render", str(album / "2026"), f"{tmp_path}/{{$basename}}-{{$height}}.gif", "--width", "10"])
    assert told == 0
    assert set(pictures_in(tmp_path)) == {"b ü-20.gif", "c-10.gif"}


def test_a_picture_that_fails_holds_up_no_other(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top = tmp_path / "album"
    shutil.copytree(album, top)
    (top / "b.png").write_text("no picture")
    assert main(["render", str(top), str(tmp_path / "out"), "--width", "150"]) == 1
    told = capsys.readouterr()
    assert set(pictures_in(tmp_path / "out")) == {"a.jpg", "icon.png"}
    assert sorted(line.partition(":")[2].partition(": ")[0] for line in told.err.splitlines()) == [
        f" {top}/2026/b ü.png", f" {top}/2026/c.PNG", f" {top}/b.png",
    ]  # fmt: skip
    assert told.err.count("use --enlarge") == 2


def test_two_pictures_do_not_take_one_place(album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    top = tmp_path / "album"
    top.mkdir()
    for name in ("a.jpg", "a.png", "b.jpg"):
        shutil.copy(album / "a.jpg", top / name)
    for destination, kept in (("out", {"a.webp", "b.webp"}), ("sized/{$height}.webp", {"50.webp"})):
        assert main(["render", str(top), f"{tmp_path}/{destination}", "--width", "100", "--format", "webp"]) == 1
        told = capsys.readouterr()
        assert set(pictures_in(tmp_path / destination.partition("/")[0])) == kept
        assert "/a.webp is the result of" in told.err or "/50.webp is the result of" in told.err
    assert main(["render", str(top), str(top / "../album"), "--width", "100"]) == 1
    assert "would take the places of the pictures" in capsys.readouterr().err


def test_a_directory_keeps_transparency_of_formats_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top, clear, opaque = tmp_path / "top", scene(40, 30).convert("RGBA"), scene(40, 30)
    clear.paste((200, 0, 0, 0), (0, 0, 20, 30))
    top.mkdir()
    for name, data in {
        "clear.heic": heif.encoded(clear), "opaque.1.heic": heif.encoded(opaque), "icon.ico": encoded(clear, "ico"),
        "opaque.bmp": encoded(opaque, "bmp"), "named.png": encoded(clear, "png"),
    }.items():  # fmt: skip
        (top / name).write_bytes(data)
    assert main(["render", str(top), f"{tmp_path}/out"]) == 0, capsys.readouterr().err
    found = pictures_in(tmp_path / "out")
    assert {name: kind for name, (kind, _) in found.items()} == {
        "clear.png": "PNG", "opaque.1.jpg": "JPEG", "icon.png": "PNG", "opaque.jpg": "JPEG", "named.png": "PNG",
    }  # fmt: skip
    for name in ("clear", "named", "icon"):
        hidden = opened((tmp_path / f"out/{name}.png").read_bytes()).convert("RGBA").getpixel((5, 15))
        assert isinstance(hidden, tuple)
        assert hidden[3] < 4
    for extra, behind in (((), (255, 255, 255)), (("--background", "#0000ff"), (0, 0, 255))):
        assert main(["render", str(top), f"{tmp_path}/flat", "--format", "jpeg", *extra]) == 0
        for name in ("clear", "named", "icon"):
            shown = opened((tmp_path / f"flat/{name}.jpeg").read_bytes()).getpixel((5, 15))
            assert isinstance(shown, tuple)
            assert max(abs(a - b) for a, b in zip(shown, behind, strict=True)) < 6
        shutil.rmtree(tmp_path / "flat")


def test_results_of_one_place_by_transparency(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "a.heic").write_bytes(heif.encoded(scene(40, 30, "RGBA")))
    (top / "a.jpg").write_bytes(encoded(scene(40, 30), "jpeg"))
    assert main(["render", str(top), f"{tmp_path}/out"]) == 0, capsys.readouterr().err
    assert set(pictures_in(tmp_path / "out")) == {"a.png", "a.jpg"}
    (top / "a.png").write_bytes(encoded(scene(40, 30), "png"))
    assert main(["render", str(top), f"{tmp_path}/out"]) == 1
    assert "a.png is the result of" in capsys.readouterr().err


CARD = '[preset.card]\noperations = [{operation = "resize", width = 60, height = 30}]\nencode = {format = "gif"}\n'


def test_render_a_preset(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "imgserve.toml").write_text("port = 8000\n" + CARD)
    base = ["render", str(pictures / "photo.jpg"), f"{tmp_path}/x", "--config", f"{tmp_path}/imgserve.toml"]
    assert main([*base, "--preset", "card"]) == 0
    assert opened((tmp_path / "x").read_bytes()).format == "GIF"
    assert main([*base, "--preset", "card", "--format", "webp"]) == 0
    image = opened((tmp_path / "x").read_bytes())
    assert (image.format, image.size) == ("WEBP", (60, 30))
    capsys.readouterr()
    assert main([*base, "--preset", "crad"]) == 1
    assert capsys.readouterr().err == (
        'imgserve: --preset: expected the name of a preset, got "crad", did you mean "card"?\n'
    )
    assert main([*base, "--preset", "card", "--width", "9"]) == 1
    assert capsys.readouterr().err == "imgserve: --width: expected --preset or it, not both\n"


def test_render_a_watermark(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logo.png").write_bytes(encoded(Image.new("RGB", (30, 30), "red"), "png"))
    (tmp_path / "imgserve.toml").write_text('[picture.logo]\npath = "logo.png"\n')
    base = ["render", str(pictures / "photo.jpg"), f"{tmp_path}/x.png", "--config", f"{tmp_path}/imgserve.toml"]
    for image in ({"name": "logo"}, f"file://{tmp_path}/logo.png"):
        drawn = {"operation": "composite", "image": image, "left": 0, "top": 0}
        (tmp_path / "recipe.json").write_text(json.dumps({"operations": [drawn]}))
        assert main([*base, "--operations", f"{tmp_path}/recipe.json"]) == 0
        assert opened((tmp_path / "x.png").read_bytes()).convert("RGB").getpixel((15, 15)) == (255, 0, 0)
    capsys.readouterr()
    for image, told in (("seal", "the name of a picture of the settings"), ("gone", "no such source file")):
        name = {"name": "seal"} if image == "seal" else f"file://{tmp_path}/gone.png"
        (tmp_path / "recipe.json").write_text(json.dumps({"operations": [{"operation": "composite", "image": name}]}))
        assert main([*base, "--operations", f"{tmp_path}/recipe.json"]) == 1
        said = capsys.readouterr().err
        assert told in said
        assert "operations[0].image: " in said


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        ('{"operations": [{"operation": "resize", "width": "x"}], "encode": {"quality": 0}}', (),
         '/recipe.json: operations[0].width: expected an integer from 1 to 16384, got "x"; {file}: encode.quality: '),
        ('{"operations": [], "operations": []}', (),
         '--operations: the file is not JSON: the key "operations" appears twice'),
        ('{"operations": []}', ("--width", "9"), "--width: expected --operations or it, not both"),
        ('{"operations": []}', ("--preset", "card"), "--operations: contradicts --preset; give one of the two"),
        ('{"operations": [{"operation": "resize", "width": 900, "if_small": "refuse"}]}', (),
         'or use operations[0].if_small = "enlarge")'),
    ],
)  # fmt: skip
def test_render_faults_of_a_recipes_file(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: tuple[str, ...], told: str
) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(text)
    (tmp_path / "imgserve.toml").write_text(CARD)
    base = ["render", str(pictures / "photo.jpg"), f"{tmp_path}/x.png", "--config", f"{tmp_path}/imgserve.toml"]
    assert main([*base, "--operations", str(file), *words]) == 1
    assert told.format(file=file) in capsys.readouterr().err if "{file}" in told else told in capsys.readouterr().err


def test_a_format_that_contradicts_the_extension_is_found_where_it_stands(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "imgserve.toml").write_text(CARD)
    (tmp_path / "recipe.json").write_text('{"operations": [], "encode": {"format": "gif"}}')
    preset = ("--preset", "card", "--config", f"{tmp_path}/imgserve.toml")
    for words, place in (
        (("--format", "gif"), "--format"),
        (preset, "--preset"),
        ((*preset, "--format", "webp"), "--format"),
        (("--operations", f"{tmp_path}/recipe.json"), "--operations"),
    ):
        assert main(["render", str(pictures / "photo.jpg"), f"{tmp_path}/x.png", *words]) == 1
        assert capsys.readouterr().err.startswith(f"imgserve: {place}: "), words


def test_render_the_recipe_of_a_file(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(
        '{"operations": [{"operation": "resize", "width": 900}, {"operation": "resize", "height": 60, "width": 60}],'
        ' "encode": {"format": "webp"}, "load": {"strict": false}}'
    )
    base = ["render", str(pictures / "photo.jpg"), f"{tmp_path}/x", "--quality", "5", "--operations"]
    assert main([*base, str(file)]) == 0
    image = opened((tmp_path / "x").read_bytes())
    assert (image.format, image.size) == ("WEBP", (60, 60))
    assert main([*base, f"{tmp_path}/gone.json"]) == 1
    assert "gone.json cannot be used: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("photo.jpg", "x.png", "--gravity", "north"), "--width: resize needs --width, --height or both"),
        (
            ("photo.jpg", "x.png", "--resize", "9x9", "--width", "9"),
            "--width: contradicts --resize; give one of the two",
        ),
        (("photo.jpg", "x.png", "--preset", "card", "--config", "/dev/null"), 'got "card"; this server has none'),
        (("photo.jpg", "x.png", "--width", "0"), "--width: expected an integer from 1 to 16384, got 0"),
        (("photo.jpg", "x.png", "--width", "1.5"), "--width: expected an integer from 1 to 16384, got 1.5"),
        (("photo.jpg", "x.bmp", "--width", "9"), "DST: the extension is not a format that can be written"),
        (
            ("photo.jpg", "x.png", "--width", "9", "--format", "gif"),
            "--format: gif contradicts the extension of DST",
        ),
        (("photo.jpg", "x.png", "--width", "9", "--gravity", "up"), '--gravity: expected "attention"'),
        (
            ("icon.svg", "x.png", "--width", "9", "--operation", "rasterize", "--gravity", "north"),
            "--gravity: belongs to --operation resize",
        ),
        (
            ("photo.jpg", "x.png", "--width", "9", "--operation", "rasterize"),
            "rasterize expects an SVG, the source is jpeg (use --operation resize)",
        ),
        (("photo.jpg", "x.png", "--width", "700"), "smaller"),
        (("words.png", "x.png", "--width", "9"), ""),
        (("nothing.png", "x.png", "--width", "9"), "nothing.png cannot be used: No such file or directory (check the"),
        (("empty", "x.png", "--width", "9"), "empty holds no pictures (expected files such as photo.jpg)"),
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
