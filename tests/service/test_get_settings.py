"""Settings of mounts and of the cache, as a client and a source's host see them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import wait_until
from tests.support.getting import KEY, SALT, Gets, gets, imgproxy_signed

TABLES = """
cache_dir = "kept"
cache_fresh_s = 0
stale_while_revalidate_s = 0
[get.imgproxy]
path = "/"
key_file = "DIR/../key"
salt_file = "DIR/../salt"
sources = ["WEB/"]
names = {shop = "WEB/"}
credential = "shop"
max_age_s = 77
[get.iiif]
path = "/iiif"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
public_url = "https://img.test/pictures"
[credential.shop]
type = "bearer"
secret_file = "DIR/../token"
for = ["WEB/"]
principals = ["@get.imgproxy"]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    top = tmp_path_factory.mktemp("site")
    for name, text in (("key", KEY), ("salt", SALT), ("token", "a-token-of-the-shop")):
        (top / name).write_text(text)
    with gets(top, TABLES) as server:
        yield server


def test_a_source_is_asked_for_with_the_mounts_credential(site: Gets) -> None:
    site.put("secret.jpg")
    assert site.get(imgproxy_signed("/w:20/plain/shop:secret.jpg")).size == (20, 15)
    assert site.get("/iiif/3/secret.jpg/full/20,/0/default.jpg").status == 200
    sent = [event.login for event in site.web.log.all() if event.name == "/secret.jpg"]
    assert sent == ["Bearer a-token-of-the-shop", ""]


def test_answers_name_the_public_url(site: Gets) -> None:
    site.put("public.jpg")
    info = json.loads(site.get("/iiif/3/public.jpg/info.json").body)
    assert info["id"] == "https://img.test/pictures/3/public.jpg"


def test_the_directory_of_the_cache(site: Gets) -> None:
    assert site.get(imgproxy_signed("/w:20/plain/shop:photo.jpg")).status == 200
    kept = site.directory.parent / "kept"
    assert [path.name for path in sorted(kept.iterdir())] == ["pictures", "sources"]
    assert not (site.server.data_dir / "cache").exists()


def test_a_picture_that_is_not_fresh_has_its_source_asked(site: Gets) -> None:
    site.put("old.jpg")
    path = imgproxy_signed("/w:20/plain/shop:old.jpg")
    assert {site.get(path)["cache-control"].partition(", stale")[0] for _ in range(3)} == {"public, max-age=77"}
    assert site.fetches("old.jpg") == [200, 304, 304]


def test_the_caches_leave_room_to_jobs(tmp_path: Path) -> None:
    """They give up pictures while jobs are accepted still."""
    floor_bytes = shutil.disk_usage(tmp_path).free // 3
    table = '[get.thumbor]\npath = "/"\nallow_unsigned = true\nsources = ["WEB/"]\nbase_url = "WEB/"\n'
    with gets(tmp_path, table, switches={"min_free_disk_bytes": floor_bytes, "cache_memory_bytes": 0}) as site:

        def is_fetched_again() -> bool:
            assert site.get("/unsafe/20x0/photo.jpg").size == (20, 15)
            return len(site.fetches("photo.jpg")) > 1

        wait_until(is_fetched_again)
