"""Credentials: which URLs a prefix names, who may use which, and what each puts beside a request."""

import base64
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.request import url
from imgserve.request.access import Access
from imgserve.request.principal import OPERATOR_ID
from imgserve.request.urlprefix import UrlPrefix
from imgserve.setting import Secret
from imgserve.transfer.client.along import merged
from imgserve.transfer.config import CredentialConfig
from imgserve.transfer.credentials import Credentials, S3Access, Use
from imgserve.transfer.faults import CredentialNotAllowed

CDN = "https://cdn.test/pictures/"
HOOK = "https://shop.test/hooks/"
KEYS = tuple("whsec_" + base64.b64encode(bytes([number]) * 24).decode() for number in (1, 2))


def credential(kind: Any, secret: str, urls: tuple[str, ...] = (CDN,), **fields: Any) -> CredentialConfig:
    return CredentialConfig(kind, Secret(secret), urls, **fields)


ALL = {
    "token": credential("bearer", "t0ken", principals=("shop",), public_url="https://www.test/p/"),
    "login": credential("basic", "pässword", user="u", principals=("shop", "blog")),
    "key": credential("header", "k", header="X-Api-Key", principals=("shop",)),
    "bucket": credential("s3", "s3secret", ("s3://bucket/",), access_key_id="id", principals=("shop",)),
    "moto": credential(
        "s3", "other", ("s3://bucket/", "s3://second/"), access_key_id="id2", endpoint="http://127.0.0.1:5000",
        region="eu-central-1", public_url="https://img.test", principals=("shop", "blog"),
    ),
    "first": credential("webhook", KEYS[0], (HOOK,), principals=("shop", "blog")),
    "second": credential("webhook", "\n".join(KEYS), (HOOK,), principals=("shop",), is_default=True),
}  # fmt: skip
KNOWN = Credentials(ALL, lambda: True)


@pytest.mark.parametrize(
    "text",
    [
        "https://cdn.test/pictures/a.png", "HTTPS://CDN.test:443/pictures/a.png?x=1#y", "https://cdn.test./pictures",
        "https://cdn.test/%70ictures/a.png", "https://u:p@cdn.test/pictures/a/b", "https://cdn.test/pictures//a",
        "https://cdn.test/x/../pictures/a", "https://cdn.test/pictures/a..b",
    ],
)  # fmt: skip
def test_a_prefix_names(text: str) -> None:
    assert UrlPrefix.parse(CDN).names(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://cdn.test/pictures/a.png", "https://cdn.test:8443/pictures/a.png", "https://cdn.test.evil/pictures/a",
        "https://cdn.test@evil.test/pictures/a", "https://evil.test/https://cdn.test/pictures/a", "https://cdn.test/",
        "https://cdn.test/picturesque/a", "https://cdn.test/pictures/../a", "https://cdn.test/pictures/%2e%2E/a",
        "https://cdn.test/pictures/..%2fa", "https://cdn.test/pictures/..%5Ca", "https://cdn.test/pictures/..;x/a",
        "https://cdn.test/pictures/%252e%252e/a", "https://cdn.test/pictures/x%25252f..%25252fa",
        "https://cdn.test/pictures/%255c..%255ca", "https://cdn.test/pictures/%2525252525252525",
        "https://cdn.test/pictures/.%00./a",
        "https://cdn.test/pictures/%ff", "https://cdn.test/Pictures/a", "ftp://cdn.test/pictures/a",
        "//cdn.test/pictures/a", "https://xcdn.test/pictures/a", "https:///pictures/a", "",
    ],
)  # fmt: skip
def test_a_prefix_does_not_name(text: str) -> None:
    assert not UrlPrefix.parse(CDN).names(text)


@given(st.text(alphabet="/.%2eE5cf;\\ab", max_size=12))
def test_no_spelling_of_a_path_leaves_the_prefix(rest: str) -> None:
    """Also at a server that decodes first, takes backslashes for slashes and drops parameters of segments."""
    if not UrlPrefix.parse(CDN).names(f"{CDN}{rest}"):
        return
    path: list[str] = []
    for segment in unquote(url.parse(f"{CDN}{rest}").path).replace("\\", "/").split("/"):
        match segment.partition(";")[0]:
            case "" | ".":
                pass
            case "..":
                path = path[:-1]
            case name:
                path.append(name)
    assert path[:1] == ["pictures"]


def test_a_prefix_of_a_bucket() -> None:
    prefix = UrlPrefix.parse("s3://bucket/a/")
    assert prefix.names("s3://bucket/a/b.png")
    assert not prefix.names("s3://bucket/ab.png")
    assert not prefix.names("s3://other/a/b.png")


@pytest.mark.parametrize("text", ["https://u@h/", "https://h/?x", "https://h/#x", "cdn.test", "https://h/..%2f", "x"])
def test_no_prefix(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        UrlPrefix.parse(text)


def lines(name: str, principal: str, place: str) -> tuple[str, ...]:
    """What goes with a request to the place itself."""
    along = KNOWN.along(Access(credential=name), principal, place)
    return along.lines_for(place) if along else ()


def test_the_headers() -> None:
    place = f"{CDN}a.png"
    assert lines("token", "shop", place) == ("Authorization: Bearer t0ken",)
    assert lines("key", "shop", place) == ("X-Api-Key: k",)
    [basic] = lines("login", "blog", place)
    assert base64.b64decode(basic.removeprefix("Authorization: Basic ")).decode() == "u:pässword"
    assert lines("", "shop", place) == ()


def test_what_goes_along_with_a_redirect() -> None:
    access = Access((("X-Tenant", "7"), ("Cache-Control", "max-age=9")), "token")
    along = KNOWN.along(access, "shop", f"{CDN}a.png")
    assert along is not None
    assert "t0ken" not in repr(along)
    whole = ("X-Tenant: 7", "Cache-Control: max-age=9", "Authorization: Bearer t0ken")
    assert along.lines_for(f"{CDN}a.png") == whole
    same = along.to("https://cdn.test:443/else.png")
    assert same is not None
    assert same.lines_for("https://cdn.test:443/else.png") == whole[:2]
    assert same.lines_for(f"{CDN}b.png") == whole
    for elsewhere in (
        "https://evil.test/pictures/a.png",
        "https://cdn.test:8443/pictures/",
        "http://cdn.test/pictures/",
    ):
        assert along.to(elsewhere) is None
    assert along.without({"cache-control"}).lines_for(f"{CDN}a.png") == (whole[0], whole[2])
    ours = ("User-Agent: imgserve", "cache-control: no-store")
    assert merged(along, f"{CDN}a.png", ours) == [*whole, ours[0]]


@pytest.mark.parametrize(
    ("name", "principal", "place", "use"),
    [
        ("absent", "shop", f"{CDN}a.png", "transfer"),
        ("token", "blog", f"{CDN}a.png", "transfer"),
        ("token", "", f"{CDN}a.png", "transfer"),
        ("token", "shop", "https://evil.test/a.png", "transfer"),
        ("bucket", "shop", f"{CDN}a.png", "transfer"),
        ("first", "shop", f"{HOOK}a", "transfer"),
        ("token", "shop", f"{CDN}a.png", "webhook"),
        ("second", "blog", f"{HOOK}a", "webhook"),
        ("", "shop", f"{CDN}a.png", "webhook"),
        ("", "other", f"{HOOK}a", "webhook"),
        ("bucket", "blog", "s3://bucket/a.png", "transfer"),
        ("", "shop", "s3://third/a.png", "transfer"),
    ],
)
def test_a_refusal_does_not_tell_why(name: str, principal: str, place: str, use: Use) -> None:
    with pytest.raises(CredentialNotAllowed) as caught:
        KNOWN.check(Access(credential=name), principal, place, use)
    error = caught.value
    assert (error.code, error.status, error.is_retryable) == ("credential_not_allowed", 422, False)
    assert error.sentence() == (
        "there is no such credential for this key and URL (name one that the server's settings have for both)"
    )


def test_what_is_allowed() -> None:
    for place in ("https://evil.test/a.png", "ftp://h/a.png", "file:///a.png"):
        KNOWN.check(Access(), "nobody", place)
    KNOWN.check(Access(credential="login"), "blog", f"{CDN}a.png")
    KNOWN.check(Access(), "blog", "s3://bucket/a.png")
    KNOWN.check(Access(), "shop", f"{HOOK}a", "webhook")
    KNOWN.check(Access(credential="token"), OPERATOR_ID, f"{CDN}a.png")


def test_buckets() -> None:
    assert KNOWN.s3_for("", "shop", "s3://bucket/a") == S3Access("bucket", "id", "s3secret", "", "us-east-1", "virtual")
    own = S3Access("moto", "id2", "other", "http://127.0.0.1:5000", "eu-central-1", "path")
    assert KNOWN.s3_for("moto", "shop", "s3://bucket/a") == KNOWN.s3_for("", "blog", "s3://bucket/a") == own
    assert "other" not in repr(own)


def test_secrets_of_webhooks() -> None:
    assert KNOWN.webhook_secrets("", "shop", f"{HOOK}a") == KEYS
    assert KNOWN.webhook_secrets("first", "shop", f"{HOOK}a") == KEYS[:1]
    assert KNOWN.webhook_secrets("", "blog", f"{HOOK}a") == KEYS[:1]


def test_public_urls() -> None:
    assert KNOWN.public_url(Access(credential="token"), "shop", f"{CDN}a%20b.png?x=1") == (
        "https://www.test/p/pictures/a%20b.png"
    )
    assert KNOWN.public_url(Access(), "blog", "s3://bucket/x/a.png") == "https://img.test/x/a.png"
    assert KNOWN.public_url(Access(), "shop", "s3://bucket/x/a.png") == ""
    assert KNOWN.public_url(Access(), "shop", "https://h/a.png") == ""


def test_a_credential_of_no_principal_is_for_all_of_one_name() -> None:
    several = False
    known = Credentials({"open": credential("bearer", "t")}, lambda: several)
    access = Access(credential="open")
    known.check(access, "@local", CDN)
    several = True
    with pytest.raises(CredentialNotAllowed):
        known.check(access, "shop", CDN)


def test_a_name_that_vanishes_is_a_fault_that_heals() -> None:
    known, access = Credentials(ALL), Access(credential="token")
    known.replace({})
    with pytest.raises(CredentialNotAllowed) as caught:
        known.along(access, "shop", CDN)
    assert caught.value.is_retryable
    known.replace(ALL)
    assert known.along(access, "shop", CDN)


@pytest.mark.parametrize(
    ("name", "principal", "text", "is_allowed"),
    [
        ("token", "shop", f"{CDN}a.png", True), ("token", "blog", f"{CDN}a.png", False),
        ("token", OPERATOR_ID, f"{CDN}a.png", True), ("token", "shop", "https://cdn.test/a.png", False),
        ("none", "shop", f"{CDN}a.png", False), ("bucket", "shop", "s3://bucket/a.png", True),
        ("bucket", "shop", f"{CDN}a.png", False), ("token", "shop", "ftp://cdn.test/pictures/a.png", False),
        ("first", "shop", f"{HOOK}a", False),
    ],
)  # fmt: skip
def test_for_whom_and_what_one_is(name: str, principal: str, text: str, is_allowed: bool) -> None:
    assert KNOWN.is_allowed(name, principal, text) is is_allowed
