"""What upload pages and answers mean: which form is used, what counts as taken, what is a refusal. The table in
docs/howto/forms.md has it; each of its rows is here."""

import gzip
import logging
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from imgserve.request.classic.spelling import number_of
from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryFailed
from tests.support.sites import Given, PagesSite
from tests.support.transfers import LOOPBACK, deliver_bytes, destination, read_page, write

FILE = '<input type="file" name="image_file">'
FORM = f'<form method="post" action="/take">{FILE}</form>'
LOGIN = '<form action="/login"><input name="user"><input type="password" name="pass"></form>'


@pytest.fixture
async def transfers() -> AsyncIterator[Transfers]:
    made = Transfers(Config(allow_networks=LOOPBACK), Limits(), read_page)
    yield made
    await made.aclose()


@pytest.fixture
def site() -> Iterator[PagesSite]:
    with PagesSite() as made:
        yield made


async def post(transfers: Transfers, url: str, *, success: str = "any", state: str = "final") -> None:
    place = msgspec.structs.replace(destination("form", url, name="x.png"), form_success=success)
    await deliver_bytes(transfers, place, b"picture", write(state))


async def refused(transfers: Transfers, url: str, *, success: str = "any") -> str:
    """The sentence of the refusal: definite, and 205 for a placeholder."""
    with pytest.raises(DeliveryFailed) as caught:
        await post(transfers, url, success=success)
    assert not caught.value.is_retryable
    assert number_of(caught.value) == 205
    return caught.value.sentence()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_form_where_a_redirect_leads_is_used(transfers: Transfers, site: PagesSite, status: int) -> None:
    site.pages |= {"/page": Given(status, location="/new/upload?s=1"), "/new/upload": Given(200, FORM)}
    site.answers["/take"] = Given(200, "thanks")
    await post(transfers, site.url + "/page?x=1")
    [sent] = site.posts()
    assert sent.path == "/take"
    assert sent.headers["referer"] == site.url + "/new/upload?s=1"


@pytest.mark.parametrize("is_led", [False, True])
@pytest.mark.parametrize(
    ("page", "words"),
    [
        (LOGIN, ["no file field on it"]),
        ('<form><input type=file name="avatar"><input type=file name=doc></form>', ['"avatar", "doc"', "field_name"]),
        ("<form><input type=file name='a\u202e\r\nb&#10;c'></form>", ['"abc"']),
        ("<form></form>", ['no file field "image_file"']),
        (f"<form>{FILE[:-1]} disabled></form>", ["no file field"]),
    ],
)
async def test_forms_without_the_field_are_a_refusal(
    transfers: Transfers, site: PagesSite, page: str, words: list[str], is_led: bool
) -> None:
    site.pages["/up"] = Given(302, location="/accounts/login;s=s3cret?next=s3cret") if is_led else Given(200, page)
    site.pages["/accounts/login;s=s3cret"] = Given(200, page)
    sentence = await refused(transfers, site.url.replace("//", "//u:s3cret@") + "/up?k=s3cret")
    for word in words:
        assert word in sentence or (is_led and page == LOGIN)
    assert (f"{site.url}/accounts/login" in sentence) == is_led
    assert "s3cret" not in sentence
    assert "\n" not in sentence
    assert not site.posts()


async def test_a_login_page_says_so(transfers: Transfers, site: PagesSite) -> None:
    site.pages |= {"/page": Given(302, location="/login"), "/login": Given(200, LOGIN)}
    sentence = await refused(transfers, site.url + "/page")
    assert "asks for a login" in sentence
    assert f"{site.url}/login" in sentence


@pytest.mark.parametrize(
    "given",
    [
        Given(200, "<h1>no form here</h1>"), Given(200, FORM, "text/plain"), Given(200, '{"a": 1}', "application/json"),
        Given(404, FORM), Given(405, ""), Given(401, LOGIN), Given(200, f"<template>{FORM}</template>{FILE}"),
    ],
    ids=["no form", "text", "json", "404", "405", "401", "template"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/up"])
async def test_where_there_is_no_form_the_bare_file_is_posted(
    transfers: Transfers, site: PagesSite, path: str, given: Given
) -> None:
    site.pages[path] = given
    site.answers[path] = Given(201)
    await post(transfers, f"{site.url}{path}?k=1")
    [sent] = site.posts()
    assert sent.path == path + "?k=1"
    assert b'name="image_file"; filename="x.png"' in sent.body


async def test_a_page_without_a_form_may_be_somewhere_else(transfers: Transfers, site: PagesSite) -> None:
    site.pages |= {"/up": Given(301, location="/api/up/"), "/api/up/": Given(200, "post files here")}
    site.answers |= {"/up": Given(301, location="/api/up/"), "/api/up/": Given(201)}
    await post(transfers, site.url + "/up")
    assert [sent.path for sent in site.posts()] == ["/api/up/"]


async def test_a_redirect_to_a_page_that_is_not_there_is_a_refusal(transfers: Transfers, site: PagesSite) -> None:
    site.pages |= {"/page": Given(302, location="/gone?token=s3cret"), "/gone": Given(404, FORM)}
    sentence = await refused(transfers, site.url + "/page")
    assert f"{site.url}/gone, which answers 404" in sentence
    assert not site.posts()


@pytest.mark.parametrize("status", [301, 302, 303])
@pytest.mark.parametrize("success", ["any", "redirect"])
async def test_a_redirect_counts_as_taken(transfers: Transfers, site: PagesSite, status: int, success: str) -> None:
    site.pages |= {"/page": Given(200, FORM), "/done": Given(200, "thanks")}
    site.answers["/take"] = Given(status, location="/done")
    await post(transfers, site.url + "/page", success=success)
    assert len(site.posts()) == 1


@pytest.mark.parametrize("status", [301, 302, 303])
@pytest.mark.parametrize("success", ["any", "redirect"])
async def test_but_not_one_to_a_login(transfers: Transfers, site: PagesSite, status: int, success: str) -> None:
    site.pages |= {
        "/page": Given(200, FORM),
        "/login": Given(302, location="/sso/?n=s3cret"),
        "/sso/": Given(200, LOGIN),
    }
    site.answers["/take"] = Given(status, location="/login")
    sentence = await refused(transfers, site.url + "/page", success=success)
    assert f"{site.url}/sso/, which asks for a password" in sentence
    assert "s3cret" not in sentence


async def test_back_to_an_upload_page_with_a_password_field_is_one_too(transfers: Transfers, site: PagesSite) -> None:
    site.pages["/page"] = Given(200, FORM + LOGIN)
    site.answers["/take"] = Given(302, location="/page")
    await refused(transfers, site.url + "/page")


@pytest.mark.parametrize(
    "led",
    [
        Given(200, FORM), Given(404, LOGIN), Given(500, LOGIN), Given(200, LOGIN, "text/plain"),
        Given(302, location="/done"),
        Given(200, "<br>" * 200_000 + LOGIN), Given(200, "<p>" + "x" * 1_100_000 + LOGIN),
    ],
    ids=["the form", "404", "500", "text", "loop", "too much", "too long"],
)  # fmt: skip
async def test_what_cannot_be_looked_at_after_the_post_takes_nothing_back(
    transfers: Transfers, site: PagesSite, led: Given
) -> None:
    site.pages |= {"/page": Given(200, FORM), "/done": led}
    site.answers["/take"] = Given(303, location="/done")
    await post(transfers, site.url + "/page")
    assert len(site.posts()) == 1


@pytest.mark.parametrize(
    "place", ["", "ftp://127.0.0.1/x", "http://192.0.2.1/login", "http://[::1]:1/", "//", "javascript:1"]
)
async def test_a_redirect_to_nowhere_is_not_followed_and_counts(
    transfers: Transfers, site: PagesSite, place: str
) -> None:
    site.pages["/page"] = Given(200, FORM)
    site.answers["/take"] = Given(303, location=place)
    await post(transfers, site.url + "/page")
    assert len(site.posts()) == 1


async def test_back_to_the_page_that_was_seen_costs_no_second_look(transfers: Transfers, site: PagesSite) -> None:
    site.pages["/page"] = Given(200, FORM)
    site.answers["/take"] = Given(303, location="/page#done")
    await post(transfers, site.url + "/page")
    assert [one.method for one in site.seen] == ["GET", "POST"]


DJANGO = (
    f'<form><ul class="errorlist" id="id_title_error"><li>This field is required.</li></ul><input name=t>{FILE}</form>'
)


@pytest.mark.parametrize(
    "answer",
    [
        FORM.replace("</form>", '<input name="title" aria-invalid="true"></form>'),
        DJANGO,
        FORM.replace("</form>", '<input name="title" aria-invalid="spelling"></form>'),
        f'<form id="up">{FILE}</form><textarea form="up" aria-invalid="true"></textarea>',
    ],
)
@pytest.mark.parametrize("success", ["any", "redirect"])
async def test_the_form_with_its_errors_is_a_refusal(
    transfers: Transfers, site: PagesSite, answer: str, success: str
) -> None:
    site.pages["/page"] = Given(200, FORM)
    site.answers["/take"] = Given(200, answer)
    assert "answered" in await refused(transfers, site.url + "/page", success=success)


@pytest.mark.parametrize("encoding", ["gzip", "br", "aws-chunked", "x"])
async def test_an_answer_that_cannot_be_decoded_was_an_answer(
    transfers: Transfers, site: PagesSite, encoding: str
) -> None:
    site.pages["/page"] = Given(200, FORM)
    site.answers["/take"] = Given(200, "thanks", encoding=encoding)
    await post(transfers, site.url + "/page")
    site.answers["/take"] = Given(302, "thanks", location="/page", encoding=encoding)
    await post(transfers, site.url + "/page")
    assert len(site.posts()) == 2


async def test_an_encoded_answer_is_read(transfers: Transfers, site: PagesSite) -> None:
    site.pages["/page"] = Given(200, FORM)
    site.answers["/take"] = Given(200, gzip.compress(DJANGO.encode()), encoding="gzip")
    assert "marks a field" in await refused(transfers, site.url + "/page")


@pytest.mark.parametrize("answer", [LOGIN, LOGIN + FORM.replace("image_file", "avatar"), "<input type=PASSWORD>"])
@pytest.mark.parametrize("status", [200, 307, 308])
async def test_a_login_page_as_the_answer_is_a_refusal(
    transfers: Transfers, site: PagesSite, answer: str, status: int
) -> None:
    site.pages["/page"] = Given(200, FORM)
    site.answers |= {"/take": Given(status, answer, location="/there?k=s3cret"), "/there": Given(200, answer)}
    sentence = await refused(transfers, site.url + "/page")
    assert "asks for a password" in sentence
    assert "s3cret" not in sentence


async def test_a_login_page_refuses_the_bare_file_too(transfers: Transfers, site: PagesSite) -> None:
    site.pages["/up"] = Given(200, "post files here")
    site.answers["/up"] = Given(200, LOGIN)
    assert "asks for a password" in await refused(transfers, site.url + "/up")


@pytest.mark.parametrize(
    "answer", [Given(200, LOGIN, "text/plain"), Given(200, "log in: " + "x" * 1_100_000 + LOGIN), Given(201, LOGIN)]
)
async def test_a_login_page_that_cannot_be_read_takes_nothing_back(
    transfers: Transfers, site: PagesSite, answer: Given
) -> None:
    site.pages["/page"] = Given(200, FORM)
    site.answers["/take"] = answer
    await post(transfers, site.url + "/page")
    assert len(site.posts()) == 1


@pytest.mark.parametrize("answer", ["thanks" + LOGIN, FORM + LOGIN])
async def test_a_login_on_every_page_of_a_site_says_nothing(
    transfers: Transfers, site: PagesSite, caplog: pytest.LogCaptureFixture, answer: str
) -> None:
    site.pages["/page"] = Given(200, LOGIN + FORM)
    site.answers["/take"] = Given(200, answer)
    with caplog.at_level(logging.INFO):
        await post(transfers, site.url + "/page")
    assert "taken, not confirmed" in caplog.text


TAKEN = [
    (200, "thanks"),
    (200, '<form><input name=q aria-invalid="true"></form>thanks'),
    (200, f'<form>{FILE}</form><form><input name=q aria-invalid="true"></form>'),
    (200, f'<form>{FILE}<ul class="errorlist"></ul></form>'),
    (200, f'<form>{FILE}<input name=q aria-invalid="false"></form>'),
    (200, FORM),
    (200, FORM + LOGIN),
    (201, DJANGO),
    (201, LOGIN),
    (204, ""),
]


@pytest.mark.parametrize(("status", "answer"), TAKEN)
async def test_other_2xx_count_as_taken(
    transfers: Transfers, site: PagesSite, caplog: pytest.LogCaptureFixture, status: int, answer: str
) -> None:
    site.pages["/page"] = Given(200, FORM)
    site.answers["/take"] = Given(status, answer)
    with caplog.at_level(logging.INFO):
        await post(transfers, site.url + "/page")
    is_shown_again = status == 200 and FILE in answer
    assert ("taken, not confirmed" in caplog.text) == is_shown_again
    site.seen.clear()
    sentence = await refused(transfers, site.url + "/page", success="redirect")
    assert f"answered {status}" in sentence
    assert "form_success" in sentence


async def test_an_api_may_answer_with_a_form(transfers: Transfers, site: PagesSite) -> None:
    """A bare post is judged like any other."""
    site.pages["/"] = Given(200, "no form here")
    site.answers["/"] = Given(200, DJANGO)
    await refused(transfers, site.url + "/")
    site.answers["/"] = Given(200, "stored")
    await post(transfers, site.url + "/")


async def test_a_post_that_is_sent_again_is_judged_by_its_last_answer(transfers: Transfers, site: PagesSite) -> None:
    site.pages |= {"/page": Given(200, FORM), "/login": Given(200, LOGIN)}
    site.answers |= {"/take": Given(307, location="/there"), "/there": Given(302, location="/login")}
    await refused(transfers, site.url + "/page")
    site.answers["/there"] = Given(200, "thanks")
    await post(transfers, site.url + "/page")
