"""``imgserve import-config``: what it prints loads, is no wider than the other server's, and names what is lost."""

import re
from argparse import Namespace
from pathlib import Path

import pytest

from imgserve.cli.main import main
from imgserve.cli.moving.draft import Draft
from imgserve.cli.moving.places import Compiled, of_hosts
from imgserve.settings import load
from imgserve.settings.tree import Settings

KEYS = {"IMGPROXY_KEY": "943b421c9eb07c83,aabb", "IMGPROXY_SALT": "520f986b998545b4,ccdd"}
SIGNED = "".join(f"{name}={value}\n" for name, value in KEYS.items())

# Those that docs/reference and the facts about imgproxy name, each with a value that differs from its default.
IMGPROXY = """
# comments and blank lines
export IMGPROXY_KEY="943b421c9eb07c83,aabb"
IMGPROXY_SALT='520f986b998545b4,ccdd'

PICTURES=ROOT
IMGPROXY_LOCAL_FILESYSTEM_ROOT=$PICTURES
IMGPROXY_ALLOWED_SOURCES=https://*.example.com/,local://,s3://shop/photos/
IMGPROXY_BIND=127.0.0.1:8080
IMGPROXY_PATH_PREFIX=/img
IMGPROXY_BASE_URL=https://example.com/media
IMGPROXY_SIGNATURE_SIZE=16
IMGPROXY_TRUSTED_SIGNATURES=a,b
IMGPROXY_ARGUMENTS_SEPARATOR=;
IMGPROXY_ALLOWED_PROCESSING_OPTIONS=w,h,pr
IMGPROXY_ALLOW_SECURITY_OPTIONS=true
IMGPROXY_ONLY_PRESETS=false
IMGPROXY_PRESETS=default=resizing_type;fill/enlarge;1,sharp=sharpen;0.7
IMGPROXY_BASE64_URL_INCLUDES_FILENAME=1
IMGPROXY_URL_REPLACEMENTS="my.s3://*/=s3://shop/${1}/images;x://=https://x.example.com/"
IMGPROXY_QUALITY=75
IMGPROXY_FORMAT_QUALITY=avif=50,webp=70
IMGPROXY_PREFERRED_FORMATS=webp,png
IMGPROXY_SKIP_PROCESSING_FORMATS=svg,gif
IMGPROXY_AUTO_WEBP=true
IMGPROXY_ENFORCE_AVIF=t
IMGPROXY_ENABLE_CLIENT_HINTS=true
IMGPROXY_CACHE_CONTROL_PASSTHROUGH=true
IMGPROXY_TTL=3600
IMGPROXY_MAX_SRC_RESOLUTION=16.8
IMGPROXY_MAX_SRC_FILE_SIZE=9000000
IMGPROXY_MAX_ANIMATION_FRAMES=10
IMGPROXY_WATERMARK_PATH=/srv/mark.png
IMGPROXY_WATERMARK_OPACITY=0.5
IMGPROXY_FALLBACK_IMAGE_PATH=/srv/fallback.png
IMGPROXY_FALLBACK_IMAGE_HTTP_CODE=404
IMGPROXY_FALLBACK_IMAGE_TTL=0
IMGPROXY_AUTO_ROTATE=false
IMGPROXY_DOWNLOAD_TIMEOUT=7
IMGPROXY_TIMEOUT=8
IMGPROXY_WORKERS=3
IMGPROXY_REQUESTS_QUEUE_SIZE=100
IMGPROXY_ALLOW_ORIGIN=https://shop.example.com
IMGPROXY_ALLOW_PRIVATE_SOURCE_ADDRESSES=false
IMGPROXY_LOG_LEVEL=warn
"""

THUMBOR = """
import re
from os.path import join
SECURITY_KEY = 'very-secret'
ALLOW_UNSAFE_URL = True
ALLOWED_SOURCES = ['example.com', r'.+\\.shop\\.example\\.com', re.compile(r'^https?://www\\.example\\.org/.*$')]
QUALITY = 85
WEBP_QUALITY = None
AVIF_QUALITY = 50
PROGRESSIVE_JPEG = False
MAX_WIDTH = 2000
MAX_HEIGHT = 1000
MAX_AGE = 24 * 60 * 30
MAX_PIXELS = 75e6
AUTO_WEBP = True
AUTO_PNG_TO_JPG = True
RESPECT_ORIENTATION = True
HTTP_LOADER_REQUEST_TIMEOUT = 10
FILE_STORAGE_ROOT_PATH = join('a', 'b')
"""


def imported(kind: str, text: str, place: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    """Exit status, notes, TOML."""
    (place / "theirs").write_text(text)
    status = main(["import-config", kind, str(place / "theirs")])
    captured = capsys.readouterr()
    return status, [line.removeprefix("imgserve: ") for line in captured.err.splitlines()], captured.out


def loaded(toml: str, place: Path) -> Settings:
    (place / "ours.toml").write_text(toml)
    return load.load(Namespace(config=str(place / "ours.toml"), data_dir=str(place / "data")), KEYS)


def test_all_of_imgproxy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, notes, toml = imported("imgproxy", IMGPROXY.replace("ROOT", str(tmp_path), 1), tmp_path, capsys)
    assert (status, notes) == (0, [])
    settings = loaded(toml, tmp_path)
    mount, grammar = settings.get.imgproxy.mount, settings.get.imgproxy.grammar
    assert [len(grammar.keys), mount.path, mount.base_url] == [2, "/img", "https://example.com/media"]
    assert mount.sources == ("https://*.example.com/", f"file://{tmp_path}/", "s3://shop/photos/")
    assert (mount.names, settings.transfer.read_roots) == ({"local": f"file://{tmp_path}/"}, (str(tmp_path),))
    assert (mount.formats, grammar.enforced_formats) == (("avif", "webp"), ("avif",))
    assert (mount.has_client_hints, mount.follows_source, mount.max_age_s) == (True, True, 3600)
    assert (mount.fallback, mount.fallback_status, mount.fallback_max_age_s) == ("fallback", 404, 3600)
    assert (grammar.watermark, settings.pictures["watermark"].path) == ("watermark", "/srv/mark.png")
    assert (grammar.signature_size, grammar.trusted_signatures, grammar.arguments_separator) == (16, ("a", "b"), ";")
    assert (grammar.allowed_options, grammar.allow_security_options) == (("w", "h", "pr"), True)
    assert (grammar.presets, grammar.url_includes_filename) == (
        ("default=resizing_type;fill/enlarge;1", "sharp=sharpen;0.7"), True
    )  # fmt: skip
    assert (grammar.quality, grammar.format_quality) == (75, ("avif=50", "webp=70"))
    assert (grammar.max_src_resolution, grammar.max_src_file_size, grammar.max_animation_frames) == (
        16.8,
        9_000_000,
        10,
    )
    assert (grammar.auto_rotate, grammar.watermark_opacity) == (False, 0.5)
    assert grammar.url_replacements == (r"^my\.s3://([^/]*)/=>s3://shop/${1}/images", "^x://=>https://x.example.com/")
    assert (settings.api.port, settings.api.host, settings.api.cors_origins) == (
        8080, "127.0.0.1", ("https://shop.example.com",)
    )  # fmt: skip
    assert (settings.transfer.source_timeout_s, settings.pool.render_timeout_s, settings.pool.workers) == (7, 8, 3)
    assert settings.on_demand.max_waiting == 100


def test_all_of_thumbor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, notes, toml = imported("thumbor", THUMBOR, tmp_path, capsys)
    assert status == 0
    assert [note.partition(":")[0] for note in notes] == ["FILE_STORAGE_ROOT_PATH", "SECURITY_KEY"]
    assert "very-secret" not in toml + "".join(notes)
    (tmp_path / "thumbor.key").write_text("very-secret\n")
    settings = loaded(toml, tmp_path)
    mount, grammar = settings.get.thumbor.mount, settings.get.thumbor.grammar
    assert (mount.path, mount.allow_unsigned, mount.formats, mount.max_age_s) == ("/", True, ("webp",), 43_200)
    assert mount.sources == ("example.com", "*.shop.example.com", "www.example.org")
    assert [key.text for key in grammar.keys] == ["very-secret"]
    assert (grammar.quality, grammar.webp_quality, grammar.avif_quality) == (85, 0, 50)
    assert (grammar.progressive_jpeg, grammar.max_width, grammar.max_height) == (False, 2000, 1000)
    assert (grammar.respect_orientation, grammar.auto_png_to_jpg, grammar.smart) == (True, True, "ignore")
    assert (settings.limits.frame_pixels, settings.transfer.source_timeout_s) == (75_000_000, 10.0)


def test_files_of_thumbor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"LOADER = 'thumbor.loaders.file_loader'\nFILE_LOADER_ROOT_PATH = '{tmp_path}'\nSECURITY_KEY = 'a'\n"
    status, _, toml = imported("thumbor", text, tmp_path, capsys)
    (tmp_path / "thumbor.key").write_text("a")
    mount = loaded(toml, tmp_path).get.thumbor.mount
    assert (status, mount.base_url, mount.sources) == (0, f"file://{tmp_path}/", (f"file://{tmp_path}/",))


# A mount that would allow more than the other server did stays off, and the exit status says so.
@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        ("imgproxy", "IMGPROXY_QUALITY=70\n", "IMGPROXY_KEY"),
        ("imgproxy", "IMGPROXY_KEY=aa\n", "IMGPROXY_KEY"),
        ("imgproxy", "IMGPROXY_KEY=xyz\nIMGPROXY_SALT=aa\n", "IMGPROXY_KEY"),
        ("imgproxy", SIGNED + "IMGPROXY_ALLOWED_SOURCES=gs://a/\n", "IMGPROXY_ALLOWED_SOURCES"),
        ("imgproxy", SIGNED + "IMGPROXY_ALLOWED_SOURCES=https://a-*.example.com/\n", "IMGPROXY_ALLOWED_SOURCES"),
        ("imgproxy", SIGNED + "IMGPROXY_ALLOWED_PROCESSING_OPTIONS=aq\n", "IMGPROXY_ALLOWED_PROCESSING_OPTIONS"),
        ("thumbor", "QUALITY = 70\n", "ALLOW_UNSAFE_URL"),
        ("thumbor", "ALLOW_UNSAFE_URL = False\n", "SECURITY_KEY"),
        ("thumbor", "SECURITY_KEY = 'a'\nALLOWED_SOURCES = ['s[0-9].example.com']\n", "ALLOWED_SOURCES"),
        ("thumbor", "SECURITY_KEY = 'a'\nALLOWED_SOURCES = hosts()\n", "ALLOWED_SOURCES"),
        ("thumbor", "SECURITY_KEY = 'a'\nif True:\n    ALLOWED_SOURCES = ['a.example.com']\n", "line 2"),
        ("thumbor", "SECURITY_KEY = 'a'\nALLOWED_SOURCES = ['a']\nALLOWED_SOURCES += ['b']\n", "line 3"),
        ("thumbor", "SECURITY_KEY = 'a'\nURL_SIGNER = 'mine'\n", "URL_SIGNER"),
        ("thumbor", "SECURITY_KEY = 'a'\nLOADER = 'thumbor.loaders.strict_https_loader'\n", "LOADER"),
    ],
)  # fmt: skip
def test_a_mount_that_would_be_wider_stays_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, text: str, name: str
) -> None:
    status, notes, toml = imported(kind, text, tmp_path, capsys)
    assert status == 1
    assert name in [note.partition(":")[0] for note in notes]
    assert re.search(r"^# off: .+\n# path = ", toml, re.MULTILINE)
    (tmp_path / "thumbor.key").write_text("a")
    get = loaded(toml, tmp_path).get
    assert (get.imgproxy.mount.path, get.thumbor.mount.path) == ("", "")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("imgproxy", "IMGPROXY_SECRET=a\n"),
        ("imgproxy", "IMGPROXY_SOURCE_URL_ENCRYPTION_KEY=aa\n"),
        ("imgproxy", "IMGPROXY_MAX_REDIRECTS=0\n"),
        ("imgproxy", "IMGPROXY_NEVER_HEARD_OF=1\n"),
        ("imgproxy", "IMGPROXY_MAX_SRC_RESOLUTION=many\n"),
        ("thumbor", "USE_BLACKLIST = True\n"),
        ("thumbor", "FILTERS = ['thumbor.filters.blur']\n"),
        ("thumbor", "HTTP_LOADER_FOLLOW_REDIRECTS = False\n"),
        ("thumbor", "NEVER_HEARD_OF = 1\n"),
        ("thumbor", "for name in (): pass\n"),
    ],
)
def test_what_protected_something_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, text: str
) -> None:
    before = SIGNED if kind == "imgproxy" else "SECURITY_KEY = 'a'\n"
    assert imported(kind, before, tmp_path, capsys)[0] == 0
    status, notes, toml = imported(kind, before + text, tmp_path, capsys)
    name = "line 2" if text.startswith("for") else re.split(r"\W", text)[0]
    assert (status, [note for note in notes if note.startswith(f"{name}: ")] != []) == (1, True)
    assert '\npath = "/"' in toml


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        ("imgproxy", SIGNED + "IMGPROXY_USE_ETAG=true\n", "IMGPROXY_USE_ETAG: nothing: every picture has an ETag"),
        ("imgproxy", SIGNED + "IMGPROXY_S3_REGION=x\n", "IMGPROXY_S3_REGION: write a table [credential.NAME]"),
        ("imgproxy", SIGNED + "IMGPROXY_ALLOW_ORIGIN=*\n", "IMGPROXY_ALLOW_ORIGIN: name the origins"),
        ("imgproxy", SIGNED + "IMGPROXY_QUALITY=0\n", "IMGPROXY_QUALITY: set [get.imgproxy] quality by hand: expected"),
        ("imgproxy", SIGNED + "IMGPROXY_PRESETS=a=w:3,b=aq:1\n", 'IMGPROXY_PRESETS: left out: preset "b"'),
        ("imgproxy", SIGNED + "IMGPROXY_FALLBACK_IMAGE_URL=x\n", "IMGPROXY_FALLBACK_IMAGE_URL: store the picture"),
        ("thumbor", "SECURITY_KEY = 'a'\nENABLE_ETAGS = False\n", "ENABLE_ETAGS: nothing: every picture has an ETag"),
        ("thumbor", "SECURITY_KEY = 'two words'\n", "SECURITY_KEY: choose a key without spaces and commas"),
        ("thumbor", "SECURITY_KEY = 'a'\nMAX_AGE = hours(3)\n", "MAX_AGE: set it by hand"),
    ],
)
def test_what_to_do_without_a_counterpart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, text: str, sentence: str
) -> None:
    status, notes, toml = imported(kind, text, tmp_path, capsys)
    assert (status, [note for note in notes if note.startswith(sentence)] != []) == (0, True)
    (tmp_path / "thumbor.key").write_text("a")
    loaded(toml, tmp_path)


@pytest.mark.parametrize(
    ("kind", "sources", "expected"),
    [
        ("imgproxy", "https://a.example.com/,https://b.example.com/img-*/,gs://c/", ("https://a.example.com/",)),
        ("thumbor", ["a.example.com", "s[0-9].example.com", ".*b.example.com"], ("a.example.com",)),
    ],
)
def test_a_list_of_sources_never_becomes_wider(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, sources: object, expected: tuple[str, ...]
) -> None:
    (tmp_path / "thumbor.key").write_text("a")
    if kind == "imgproxy":
        _, notes, toml = imported(kind, f"{SIGNED}IMGPROXY_ALLOWED_SOURCES={sources}\n", tmp_path, capsys)
    else:
        _, notes, toml = imported(kind, f"SECURITY_KEY = 'a'\nALLOWED_SOURCES = {sources}\n", tmp_path, capsys)
    get = loaded(toml, tmp_path).get
    assert (get.imgproxy.mount.sources or get.thumbor.mount.sources) == expected
    assert len([note for note in notes if "ALLOWED_SOURCES: " in note]) == 2


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"https?://a\.example\.com/.*", "a.example.com"),
        (r"^https://.+\.example\.com/", "https://*.example.com"),
        (r"https://a\.example\.com", "https://a.example.com"),
        (r"a\.example\.com", None),  # it is compared with the URL, and so matches nothing
        (r"https://a\.example\.com/img/.*", None),
        (r".*", None),
    ],
)
def test_compiled_expressions_are_for_urls(pattern: str, expected: str | None) -> None:
    draft = Draft("get.thumbor")
    assert of_hosts([Compiled(pattern)], "", draft, "ALLOWED_SOURCES") == ([expected] if expected else [])
    assert len(draft.notes) == (expected is None)


def test_nothing_of_the_file_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = tmp_path / "executed"
    text = f"SECURITY_KEY = open({str(mark)!r}, 'w').write('a')\nimport os\nos.mkdir({str(mark)!r})\n"
    assert imported("thumbor", text, tmp_path, capsys)[0] == 1
    assert not mark.exists()


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        ("imgproxy", "IMGPROXY_KEY\n", "line 1: expected NAME=VALUE"),
        ("thumbor", "QUALITY = = 3\n", "expected a file of Python, as thumbor reads it"),
    ],
)
def test_a_file_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, text: str, sentence: str
) -> None:
    status, notes, toml = imported(kind, text, tmp_path, capsys)
    assert (status, toml) == (1, "")
    assert notes[0].startswith(sentence)
