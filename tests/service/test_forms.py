"""Upload forms through the server: what a caller is told of a page or an answer that means no."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import pictures
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.operating import ask
from tests.support.sites import Given, PagesSite

FORM = '<form action="/take" method="post"><input type="file" name="pic"></form>'
LOGIN = '<form><input type="password" name="p"></form>'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    place = tmp_path_factory.mktemp("forms")
    (place / "a.png").write_bytes(pictures.encoded(pictures.detailed(64, 48), "png"))
    with Daemon(place / "data", *LOOPBACK, "--read-root", str(place)) as server:
        yield server


@pytest.fixture
def site() -> Iterator[PagesSite]:
    with PagesSite() as site:
        site.pages |= {"/page": Given(200, FORM), "/login": Given(200, LOGIN)}
        site.answers["/take"] = Given(303, location="/page")
        yield site


def job(server: Daemon, site: PagesSite, **more: object) -> dict[str, object]:
    args = {"width": 32, "field_name": "pic"} | more
    source = Path(server.data_dir).parent / "a.png"
    return {
        "operationType": "resize", "srcURL": f"file://{source}", "dstURL": f"{site.url}/page:x.png", "args": args,
    }  # fmt: skip


def test_a_form_takes_placeholder_and_result(server: Daemon, site: PagesSite) -> None:
    assert "dstURL" in server.post(job(server, site, form_success="redirect")).body
    wait_until(lambda: len(site.posts()) == 2)
    assert [sent.headers["x-imgserve-state"] for sent in site.posts()] == ["placeholder", "final"]


@pytest.mark.parametrize("how", ["another field", "login page", "login after", "errors", "no redirect"])
def test_a_refusal_is_told(server: Daemon, site: PagesSite, how: str) -> None:
    args: dict[str, object] = {}
    match how:
        case "another field":
            args, words = {"field_name": "nope"}, 'no file field "nope"; its file fields are "pic"'
        case "login page":
            site.pages["/page"], words = Given(302, location="/login"), f"{site.url}/login"
        case "login after":
            site.answers["/take"], words = Given(302, location="/login"), "asks for a password"
        case "errors":
            site.answers["/take"] = Given(200, FORM.replace("</form>", "<input aria-invalid=true></form>"))
            words = "marks a field"
        case _:
            site.answers["/take"], words = Given(200, FORM), "no redirect"
            args = {"form_success": "redirect"}
    reply = server.post(job(server, site, **args)).body
    assert reply["code"] == 205
    assert words in str(reply["detail"])


def test_a_result_that_is_not_taken_fails_its_job(server: Daemon, site: PagesSite) -> None:
    site.answers["/take"] = Given(302, location="/login")
    reply = server.post({**job(server, site), "placeholder": "none"})
    assert "dstURL" in reply.body
    job_id = {name.lower(): value for name, value in reply.headers.items()}["x-imgserve-job"]
    wait_until(lambda: ask(server.data_dir, "GET", f"/v1/jobs/{job_id}").body["status"] == "failed")
    shown = ask(server.data_dir, "GET", f"/v1/jobs/{job_id}").body
    assert "asks for a password" in str(shown)
