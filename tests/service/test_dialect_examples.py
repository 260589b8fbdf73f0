"""Each example of the pages on the dialects, asked of a server with the mount of the page."""

from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from imgserve.request.dialects.iiif.support import SUPPORT as IIIF
from imgserve.request.dialects.imgproxy.support import SUPPORT as IMGPROXY
from imgserve.request.dialects.support import Row
from imgserve.request.dialects.thumbor.support import IMAGOR
from imgserve.request.dialects.thumbor.support import SUPPORT as THUMBOR
from tests.support.getting import KEY, SALT, THUMBOR_KEY, Gets, gets, imgproxy_signed, thumbor_signed
from tests.support.pages import settings_in
from tests.support.pictures import animation

REFERENCE = Path(__file__).resolve().parents[2] / "docs/reference"
# What some examples need beside the page's mount.
MORE_OF_IMGPROXY = """
allow_security_options = true
allow_raw = true
watermark = "mark"
presets = ["example=w:100"]
[picture.mark]
path = "DIR/logo.png"
"""
MORE_OF_IIIF = "max_width = 1000\n"  # the largest result of a server takes a second
MORE_OF_IMAGOR = "imagor = true\nallow_raw = true\n"
# In the examples, the URL of a further picture, and that in base64.
FURTHER, FURTHER_BASE64 = "example.com/w.png", "aHR0cHM6Ly9leGFtcGxlLmNvbS9tYXJrLnBuZw"
SOURCES = {"page": "two.gif"}


class Case(NamedTuple):
    """``refused``: the status of an example that is not offered. thumbor and imagor ignore such filters."""

    page: str
    rows: tuple[Row, ...]
    refused: int
    more: str = ""


CASES = {
    "imgproxy": Case("imgproxy.md", IMGPROXY, 404, MORE_OF_IMGPROXY),
    "thumbor": Case("thumbor.md", THUMBOR, 200),
    "iiif": Case("iiif.md", IIIF, 400, MORE_OF_IIIF),
    "imagor": Case("thumbor.md", IMAGOR, 200, MORE_OF_IMAGOR),
}


def mount_of(case: Case, top: Path) -> str:
    """The settings on the page, with this test's addresses and files."""
    [table] = settings_in((REFERENCE / case.page).read_text())
    table = table.replace("/etc/imgserve/", f"{top}/").replace("https://shop.example.com/pictures/", "WEB/")
    return table.replace("file:///srv/imgserve/originals/", "file://DIR/") + case.more


def path_of(name: str, row: Row, site: Gets) -> str:
    source = SOURCES.get(row.option, "photo.jpg")
    if name == "iiif":
        return "/iiif/" + row.example.format(id=source)
    if name == "imgproxy":
        further = urlsafe_b64encode(f"{site.web.url}/logo.png".encode()).decode().rstrip("=")
        return imgproxy_signed(f"/{row.example.replace(FURTHER_BASE64, further)}/plain/{source}")
    if row.option == "extract_focal":
        source = f"http://other.example/unsafe/1x2:3x4/{source}"
    return "/thumbor" + thumbor_signed(f"{row.example.replace(FURTHER, 'logo.png')}/{source}")


@pytest.mark.parametrize("names", [("imgproxy", "thumbor", "iiif"), ("imagor",)], ids=" ".join)
def test_examples(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name, key in (("imgproxy.key", KEY), ("imgproxy.salt", SALT), ("thumbor.key", THUMBOR_KEY)):
        (tmp_path / name).write_text(key)
    asked = [(name, row) for name in names for row in CASES[name].rows if row.example]

    def ask(one: tuple[str, Row]) -> int:
        with site.client() as client:
            return client.get(path_of(*one, site)).status

    tables = "".join(mount_of(CASES[name], tmp_path) for name in names)
    with gets(tmp_path, tables) as site, ThreadPoolExecutor(4) as threads:
        site.put("two.gif", animation(2))
        statuses = list(threads.map(ask, asked))
    told = {(name, row.option): status for (name, row), status in zip(asked, statuses, strict=True)}
    expected = {(name, row.option): CASES[name].refused if row.status == "not offered" else 200 for name, row in asked}
    redirected = ("iiif", "{identifier}")
    assert told == expected | ({redirected: 303} if redirected in told else {})
