"""``imgserve sign``: keys from files or from the settings, and one sentence for what cannot be signed."""

from pathlib import Path

import pytest

from imgserve.cli.main import main
from imgserve.client import ImgproxyUrls, ThumborUrls

KEY, SALT = "943b421c9eb07c83", "520f986b998545b4"
SOURCE = "https://pictures.example.com/shop/photo.jpg"
SETTINGS = """
[get.imgproxy]
path = "/img"
key_file = "key"
salt_file = "salt"
sources = ["https://pictures.example.com/"]
allowed_options = ["rs", "width", "height"]
[get.thumbor]
path = "/thumbor"
allow_unsigned = true
sources = ["pictures.example.com"]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "salt").write_text(f"{SALT}\n")
    (tmp_path / "imgserve.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What is printed; a refusal with a mark in front."""
    status = main(["sign", *words])
    captured = capsys.readouterr()
    assert (status == 0) == (not captured.err)
    return captured.out.rstrip("\n") if status == 0 else f"! {captured.err.removeprefix('imgserve: ').rstrip()}"


@pytest.mark.usefixtures("place")
def test_keys_of_files(capsys: pytest.CaptureFixture[str]) -> None:
    files = "--key-file", "key", "--salt-file", "salt"
    imgproxy = ImgproxyUrls("", KEY, SALT)
    assert said(capsys, "imgproxy", *files, SOURCE, "w:300", "q:70") == imgproxy.of_words(SOURCE, ["w:300", "q:70"])
    base = "https://i.example.com"
    plain = ImgproxyUrls(base, KEY, SALT, is_plain=True).srcset(SOURCE, [320, 640])
    assert said(capsys, "imgproxy", *files, "--plain", "--base", base, "--srcset", "320,640", SOURCE) == plain
    thumbor = ThumborUrls("", KEY).url(SOURCE, width=300, height=200, flip=True, filters=["blur(3)"])
    assert said(capsys, "thumbor", "--key-file", "key", SOURCE, "blur(3)", "--", "-300x200") == thumbor


def test_keys_of_the_settings(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = "--config", str(place / "imgserve.toml")
    signed = ImgproxyUrls("https://i.example.com/img", KEY, SALT).url(SOURCE, width=300)
    assert said(capsys, "imgproxy", *config, "--base", "https://i.example.com", SOURCE, "width:300") == signed
    unsigned = ThumborUrls("/thumbor").srcset(SOURCE, [30, 60], width=3, height=2)
    assert said(capsys, "thumbor", *config, "--srcset", "30,60", SOURCE, "3x2") == unsigned


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("imgproxy", SOURCE, "q:70"), "the mount would refuse this URL: the option q is not among allowed_options"),
        (("imgproxy", "https://elsewhere.example.com/a", "rs:fit:3"), "the mount would refuse this source: the mount"),
        (("imgproxy", SOURCE, "rs:cover:3"), "rs: expected fit, fill"),
        (("imgproxy", SOURCE, "--key-file", "key"), "expected --key-file and --salt-file together"),
        (("thumbor", "--key-file", "none", SOURCE), "the file none cannot be used: No such file or directory"),
        (("thumbor", SOURCE, "300y20"), "expected an option such as"),
        (("thumbor", "https://elsewhere.example.com/a", "3x"), "the mount would refuse this source: the mount's list"),
    ],
)
def test_one_sentence_for_what_cannot_be_signed(
    place: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    shown = said(capsys, words[0], "--config", str(place / "imgserve.toml"), *words[1:])
    assert shown.startswith(f"! {sentence}")
    assert KEY not in shown


def test_a_mount_is_needed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "empty.toml").write_text("port = 80\n")
    shown = said(capsys, "imgproxy", "--config", str(place / "empty.toml"), SOURCE)
    assert shown.startswith("! the settings have no mount [get.imgproxy] with a path (add it, or name the key")


@pytest.mark.parametrize(("dialect", "lines"), [
    ("imgproxy", 'key_env = "NO_SUCH_KEY"\nsalt_env = "NO_SUCH_SALT"'),
    ("thumbor", 'key_env = "NO_SUCH_KEY"'),
])  # fmt: skip
def test_keys_that_this_user_cannot_read(
    place: Path, capsys: pytest.CaptureFixture[str], dialect: str, lines: str
) -> None:
    """The server may have variables that the user of a command has not."""
    (place / "theirs.toml").write_text(f'[get.{dialect}]\npath = "/"\n{lines}\n')
    shown = said(capsys, dialect, "--config", str(place / "theirs.toml"), SOURCE)
    assert shown.startswith(f"! this user cannot read the key of [get.{dialect}] (run it as the server's user, or")


def test_an_empty_file_holds_no_key(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "key").write_text("\n")
    assert said(capsys, "thumbor", "--key-file", "key", SOURCE) == "! --key-file: expected a key in key, which is empty"
