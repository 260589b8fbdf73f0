"""The credential of a mount: what is asked for with it, and what is not, as the hosts of sources see it."""

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
from examples.receivers import Behaviour

from tests.support.buckets import Environ, ObjectStore, StartResponse, WsgiApp
from tests.support.getting import LOGO, PHOTO, Gets, gets

TOKEN = "a-token-of-the-shop"
MOUNTS = """
[get.imgproxy]
path = "/"
allow_unsigned = true
sources = ["WEB/", "OTHER/"]
base_url = "WEB/"
credential = "shop"
[get.thumbor]
path = "/thumbor"
allow_unsigned = true
sources = ["WEB/", "OTHER/"]
base_url = "WEB/"
credential = "shop"
imagor = true
[credential.shop]
type = "bearer"
secret_file = "DIR/../token"
for = ["WEB/shop/"]
principals = ["@get.imgproxy", "@get.thumbor"]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    top = tmp_path_factory.mktemp("credentials")
    (top / "token").write_text(TOKEN)
    with gets(top, MOUNTS) as site:
        site.put("shop/photo.jpg")
        for place in ("shop/logo.png", "open/logo.png"):
            site.put(place, LOGO)
        yield site


def logins(gets: Gets, name: str) -> set[str]:
    """Of all requests for a source, on both hosts."""
    return {event.login for web in (gets.web, gets.other) for event in web.log.all() if event.name == f"/{name}"}


DRAWN = {
    "thumbor": "/thumbor/unsafe/40x0/filters:watermark({quoted},0,0,0)/shop/photo.jpg",
    "imagor": "/thumbor/unsafe/40x0/filters:image({quoted},0,0)/shop/photo.jpg",
    "imgproxy": "/_/w:40/wmu:{encoded}/wm:1/plain/shop/photo.jpg",
}


def drawn(site: Gets, form: str, mark: str) -> int:
    text = urlsafe_b64encode(mark.encode()).decode().rstrip("=")
    return site.get(DRAWN[form].format(quoted=quote(mark, safe=""), encoded=text)).status


@pytest.mark.parametrize("form", DRAWN)
def test_pictures_that_are_drawn_are_asked_for_with_it(site: Gets, form: str) -> None:
    name = f"shop/{form}.png"
    mark = site.put(name, LOGO)
    assert drawn(site, form, mark) == 200
    assert logins(site, name) == {f"Bearer {TOKEN}"}
    assert logins(site, "shop/photo.jpg") == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("form", DRAWN)
def test_it_goes_to_no_url_that_it_is_not_for(site: Gets, form: str) -> None:
    """Another path, and another host: they are asked for without it, and answer."""
    here, there = f"open/{form}.png", f"shop/{form}-there.png"
    assert drawn(site, form, site.put(here, LOGO)) == 200
    site.put(there, LOGO)
    assert drawn(site, form, f"{site.other.url}/{there}") == 200
    assert logins(site, here) | logins(site, there) == {""}


def test_it_does_not_go_where_a_redirect_leads(site: Gets) -> None:
    site.web.behave("/shop/moved", Behaviour(status=302, redirect=f"{site.other.url}/shop/moved-there.png"))
    site.put("shop/moved-there.png", LOGO)
    assert drawn(site, "thumbor", f"{site.web.url}/shop/moved.png") == 200
    assert (logins(site, "shop/moved.png"), logins(site, "shop/moved-there.png")) == ({f"Bearer {TOKEN}"}, {""})


def test_it_goes_along_for_the_principals_that_it_names(tmp_path: Path) -> None:
    """A mount that it does not name gets no source by it, not from the cache either."""
    (tmp_path / "token").write_text(TOKEN)
    with gets(tmp_path, MOUNTS.replace('"@get.imgproxy", ', "")) as site:
        site.put("shop/photo.jpg")
        site.put("shop/logo.png", LOGO)
        assert drawn(site, "thumbor", f"{site.web.url}/shop/logo.png") == 200
        assert site.get("/_/w:20/plain/shop/photo.jpg").status == 404
        assert logins(site, "shop/photo.jpg") == {f"Bearer {TOKEN}"}


class Sending:
    """Stands before a store. What lies at ``away`` it sends somewhere else."""

    target = ""

    def __call__(self, app: WsgiApp) -> WsgiApp:
        def answer(environ: Environ, start: StartResponse) -> Iterable[bytes]:
            if not environ["PATH_INFO"].endswith("/away.png"):
                return app(environ, start)
            start("307 Temporary Redirect", [("Location", self.target), ("Content-Length", "0")])
            return [b""]

        return answer


class Bucket(NamedTuple):
    site: Gets
    store: ObjectStore
    sending: Sending


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    sending = Sending()
    with ObjectStore(sending) as store:
        store.put("photo.jpg", PHOTO)
        store.put("logo.png", LOGO)
        own = f'principals = ["@get.thumbor"]\n{store.settings}'.partition("\n")
        table = (
            f'[get.thumbor]\npath = "/"\nallow_unsigned = true\nsources = ["{store.url}/"]\nbase_url = "{store.url}/"\n'
            f'credential = "store"\n{own[2]}{own[0]}\n'
        )
        with gets(tmp_path, table, environment={"SECRET": "key-of-a-test"}) as site:
            yield Bucket(site, store, sending)


def test_source_and_watermark_in_a_bucket(bucket: Bucket) -> None:
    path = f"/unsafe/40x0/filters:watermark({quote(bucket.store.url + '/logo.png', safe='')},0,0,0)/photo.jpg"
    assert bucket.site.get(path).size == (40, 30)


def test_a_redirect_of_a_store_leads_to_no_other_host(bucket: Bucket) -> None:
    bucket.sending.target = f"http://localhost:{bucket.site.other.port}/logo.png"
    before = bucket.site.other.connections
    assert bucket.site.get("/unsafe/40x0/away.png").status == 404
    assert bucket.site.get("/unsafe/40x0/filters:watermark(away.png,0,0,0)/photo.jpg").status != 200
    assert bucket.site.other.connections == before
