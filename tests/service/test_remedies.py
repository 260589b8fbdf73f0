"""A remedy names other fields as its reader writes them: in a classic job, or behind ``imgserve render``."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from imgserve.cli.main import main
from tests.support.daemon import LOOPBACK, Daemon
from tests.support.native import Caller
from tests.support.operating import Operator, ask
from tests.support.pictures import detailed, encoded, svg
from tests.support.sites import Given, PagesSite

RESIZE = 'operationType = "resize"'
CUT_OFF = "check that the file is complete, or use args.strict = false to take what can be read"
FORM = {"field_name": "pic", "form_success": "redirect"}
FORM_PAGE = '<form action="/take"><input type=file name=pic></form>'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("remedies")
    (place / "small.png").write_bytes(encoded(detailed(64, 48), "png"))
    (place / "picture").write_bytes(encoded(detailed(64, 48), "png"))
    (place / "half.gif").write_bytes(encoded(detailed(64, 48), "gif")[:2000])
    (place / "icon.svg").write_bytes(svg('<rect width="40" height="20"/>'))
    return place


@pytest.fixture(scope="module")
def server(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    top = tmp_path_factory.mktemp("server")
    with Daemon(top / "data", *LOOPBACK, "--read-root", str(place), "--write-root", str(top)) as server:
        yield server


@pytest.fixture
def site() -> Iterator[PagesSite]:
    with PagesSite() as site:
        yield site


def job(server: Daemon, source: Path, target: str, operation: str, args: Mapping[str, object]) -> dict[str, object]:
    destination = target if "://" in target else f"file://{server.data_dir.parent}/{target}"
    return {
        "operationType": operation, "srcURL": f"file://{source}", "dstURL": destination, "args": {"width": 32, **args},
    }  # fmt: skip


PICTURES: list[tuple[str, str, str, dict[str, object], str]] = [
    ("small.png", "x.png", "resize", {"width": 640}, "ask for a smaller size, or use args.enlarge = true"),
    ("half.gif", "x.png", "resize", {}, CUT_OFF),
    ("small.png", "x.png", "rasterize", {}, f"srcURL: rasterize expects an SVG; for other pictures use {RESIZE}"),
    ("picture", "x.png", "rasterize", {}, f"rasterize expects an SVG, the source is png (use {RESIZE})"),
    ("icon.svg", "x", "resize", {}, "give dstURL an extension such as .png, or use args.format"),
    ("small.png", "x.bmp", "resize", {}, "give .jpg, or no extension and args.format"),
    ("icon.svg", "x.png", "rasterize", {"gravity": "north"}, f"args.gravity: belongs to {RESIZE}"),
    (
        "small.png", "x.png", "resize", {"format": "gif"},
        "args.format: gif contradicts the extension of dstURL, which means png",
    ),
    ("small.png", "x.png", "resize", {"width": None}, "args.width: resize needs args.width, args.height or both"),
    ("small.png", "https://h/x", "resize", {}, 'args.method = "PUT" for a plain upload'),
    ("small.png", "https://h/x", "resize", {"method": "POST"}, "leave it out and give args.field_name"),
    ("small.png", "https://h/x", "resize", {"method": "PUT", "field_file": "a"}, "contradicts args.field_file"),
    (
        "small.png", "https://h/x", "resize", {"field_name": "a", "field_file": "b"},
        "args.field_name: contradicts args.field_file",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target", "operation", "args", "sentence"), PICTURES)
def test_of_a_picture_or_a_request(
    server: Daemon, place: Path, source: str, target: str, operation: str, args: dict[str, object], sentence: str
) -> None:
    wanted = job(server, place / source, target, operation, args)
    wanted["args"] = {name: value for name, value in ({"width": 32} | args).items() if value is not None}
    assert sentence in str(server.post(wanted).body["detail"])
    assert sentence in str(ask(server.data_dir, "GET", "/v1/refusals?limit=1").body["refusals"][0]["detail"])


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("<form><input type=file name=doc></form>", "name one of them in args.field_name"),
        ("<form></form>", "point dstURL at the page with the form"),
        ("<form><input type=password></form>", "point dstURL at the page with the form"),
        ("<form>" + "<a b c d e>" * 40_000, "point dstURL at a smaller page"),
        ("<form>" + "x" * 1_100_000, "point dstURL at the page with the form"),
        (FORM_PAGE.replace("/take", "http://["), "point dstURL at a page whose form works without scripts"),
        (FORM_PAGE, 'args.form_success = "redirect" counts only 301, 302 and 303 as taken'),
    ],
)
def test_of_an_upload_page(server: Daemon, place: Path, site: PagesSite, page: str, sentence: str) -> None:
    """In the reply where the placeholder is refused; with the stored job where an attempt is, and to its operator."""
    site.pages["/page"], site.answers["/take"] = Given(200, page), Given(200, "thanks")
    wanted = job(server, place / "small.png", f"{site.url}/page:x.png", "resize", FORM)
    assert sentence in str(server.post(wanted).body["detail"])
    answer = server.post({**wanted, "placeholder": "none"})
    job_id = {name.lower(): value for name, value in answer.headers.items()}["x-imgserve-job"]
    operator = Operator(server)
    operator.until(job_id, "failed")
    assert sentence in operator("jobs", "show", job_id).stdout.decode()


def test_of_a_login_after_a_redirect(server: Daemon, place: Path, site: PagesSite) -> None:
    site.pages |= {
        "/page": Given(302, location="/login"),
        "/login": Given(200, "<form><input type=password></form>"),
    }
    wanted = job(server, place / "small.png", f"{site.url}/page:x.png", "resize", FORM)
    assert "user:password@ in dstURL gives one" in str(server.post(wanted).body["detail"])


def test_of_a_picture_that_is_found_damaged_by_an_attempt(server: Daemon, place: Path) -> None:
    """Its header is good, so the job is accepted."""
    (place / "large.jpg").write_bytes(encoded(detailed(2000, 1500), "jpeg")[:200_000])
    answer = server.post(job(server, place / "large.jpg", "y.jpg", "resize", {}))
    job_id = {name.lower(): value for name, value in answer.headers.items()}["x-imgserve-job"]
    operator = Operator(server)
    operator.until(job_id, "failed")
    assert CUT_OFF in operator("jobs", "show", job_id).stdout.decode()


def test_of_an_attempt_at_a_native_job(server: Daemon, place: Path) -> None:
    (place / "long.jpg").write_bytes(encoded(detailed(2000, 1500), "jpeg")[:200_000])
    outputs = [{"destination": f"file://{server.data_dir.parent}/native.jpg"}]
    caller = Caller(server)
    ended = caller.ended(caller.submit({"source": f"file://{place}/long.jpg", "outputs": outputs}).body["id"])
    assert "or use load.strict = false to take" in ended["outputs"][0]["error"]["hint"]


def test_of_a_job_that_is_submitted(server: Daemon, place: Path) -> None:
    for source, target, operation, args, sentence in PICTURES[:4]:
        wanted = job(server, place / source, target, operation, args)
        body = msgspec.json.encode(wanted)
        assert sentence in Operator(server)("submit", "-", stdin=body).stderr.decode()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("small.png", "x.png", "--width", "640"), "ask for a smaller size, or use --enlarge)"),
        (("half.gif", "x.png", "--width", "9"), "or use --no-strict to take what can be read"),
        (
            ("small.png", "x.png", "--width", "9", "--operation", "rasterize"),
            "rasterize expects an SVG, the source is png (use --operation resize)",
        ),
        (("picture", "x.png", "--width", "9", "--operation", "rasterize"), "is png (use --operation resize)"),
        (("icon.svg", "x", "--width", "9"), "DST: an SVG source and no format: give DST an extension such as .png, or"),
        (("icon.svg", "-", "--width", "9"), " or use --format"),
        (("small.png", "x.bmp", "--width", "9"), "give .jpg, or no extension and --format"),
        (
            ("icon.svg", "x.png", "--width", "9", "--operation", "rasterize", "--gravity", "north"),
            "--gravity: belongs to --operation resize",
        ),
        (
            ("small.png", "x.png", "--width", "9", "--format", "gif"),
            "gif contradicts the extension of DST, which",
        ),
        (("small.png", "x.png", "--gravity", "north"), "--width: resize needs --width, --height or both"),
    ],
)
def test_on_the_command_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    target = words[1] if words[1] == "-" else str(tmp_path / words[1])
    assert main(["render", str(place / words[0]), target, *words[2:]]) == 1
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
