"""OpenSeadragon in Chromium shows a picture by our tiles: from info.json through each step of a zoom. Loopback only."""

import io
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.daemon import Daemon
from tests.support.npm import PACKAGES
from tests.support.ondemand import call
from tests.support.peers import mounted
from tests.support.pictures import detailed, distance, encoded
from tests.support.sites import Reply, Seen, Site
from tests.support.sizes import PATIENCE_S, Figures
from tests.support.tiles import tiles_of

CHROMIUM = shutil.which("chromium")
SCRIPT = PACKAGES / "node_modules/openseadragon/build/openseadragon/openseadragon.min.js"
# Of the scale factors, the largest that a window of this size asks for.
LARGEST_SCALE = 4
NAME, SIZE = "hall", (2111, 1583)
VIEWER, WINDOW = (640, 480), (800, 700)
pytestmark = [
    pytest.mark.full_size,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: chromium)"),
]

# Goes over the whole picture at each step of the zoom, comes home, and tells what it saw. Chromium takes its screenshot
# after the page's load event, which waits for the picture /end: that is answered once the page has told.
PAGE = """<!doctype html><meta charset="utf-8"><title>viewer</title>
<style>body {margin: 0} #viewer {width: VIEWER_WIDTHpx; height: VIEWER_HEIGHTpx} #end {display: none}</style>
<div id="viewer"></div><img id="end" src="/end">
<script src="/openseadragon.js"></script>
<script>
performance.setResourceTimingBufferSize(10000);
const sizes = {}, failed = [];
const tell = (end) => {
  const entries = performance.getEntriesByType("resource").filter((entry) => entry.name.includes("/iiif/"));
  const statuses = entries.map((entry) => [entry.name, entry.responseStatus]);
  fetch("/told", {method: "POST", body: JSON.stringify({end, sizes, failed, statuses})});
};
const viewer = OpenSeadragon({
  id: "viewer", tileSources: "INFO", crossOriginPolicy: "Anonymous", drawer: "canvas", showNavigationControl: false,
  animationTime: 0, immediateRender: true, maxImageCacheCount: 1000,
});
viewer.addHandler("open-failed", (event) => tell("open failed: " + event.message));
viewer.addHandler("tile-load-failed", (event) => failed.push(event.tile.getUrl() + " " + event.message));
viewer.addHandler("tile-loaded", (event) => {
  sizes[event.tile.getUrl()] = [event.data.width, event.data.height];
});
const settled = () => new Promise((resolve) => {
  const look = () => viewer.world.getItemAt(0).getFullyLoaded() ? resolve() : setTimeout(look, 10);
  setTimeout(look, 30);
});
viewer.addHandler("open", async () => {
  const {viewport, world} = viewer, bounds = world.getItemAt(0).getBounds();
  await settled();
  for (const zoom of [2 * viewport.getHomeZoom(), viewport.getMaxZoom()]) {
    viewport.zoomTo(zoom, null, true);
    const {width, height} = viewport.getBounds(true);
    for (let y = 0; y < bounds.height + height; y += height / 2) {
      for (let x = 0; x < bounds.width + width; x += width / 2) {
        viewport.panTo(new OpenSeadragon.Point(bounds.x + x, bounds.y + y), true);
        await settled();
      }
    }
  }
  viewport.goHome(true);
  await settled();
  requestAnimationFrame(() => requestAnimationFrame(() => tell("shown")));
});
</script>
""".replace("VIEWER_WIDTH", str(VIEWER[0])).replace("VIEWER_HEIGHT", str(VIEWER[1]))


class Page(Site):
    """The page with the viewer, and its last picture, which is answered once the page has told what it saw."""

    def __init__(self) -> None:
        self.info = ""
        self.told: Any = None
        self._is_told = threading.Event()
        super().__init__()

    def reply(self, seen: Seen) -> Reply:
        match seen.path:
            case "/":
                return Reply(200, {"Content-Type": "text/html"}, PAGE.replace("INFO", self.info).encode())
            case "/openseadragon.js":
                return Reply(200, {"Content-Type": "text/javascript"}, SCRIPT.read_bytes())
            case "/told":
                self.told = json.loads(seen.body)
                self._is_told.set()
                return Reply(200, {})
            case "/end":
                self._is_told.wait(PATIENCE_S)
                return Reply(404, {})
        return Reply(404, {})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    top = tmp_path_factory.mktemp("viewer")
    with mounted(top, "iiif", "tile_size = 256\n", workers=2) as server:
        (top / "pictures" / NAME).write_bytes(encoded(detailed(*SIZE), "jpeg"))
        yield server


def shown(page: Page, top: Path) -> Image.Image:
    """What the browser's window shows in the end."""
    assert CHROMIUM is not None
    picture = top / "shown.png"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={top / 'profile'}"]
    command += [
        f"--window-size={WINDOW[0]},{WINDOW[1]}",
        "--hide-scrollbars",
        f"--screenshot={picture}",
        f"{page.url}/",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert picture.exists(), ended.stderr
    return Image.open(io.BytesIO(picture.read_bytes())).convert("RGB")


@pytest.mark.parametrize("version", [3, 2])
def test_openseadragon_shows_it(server: Daemon, tmp_path: Path, version: int, figures: Figures) -> None:
    base = f"/iiif/{version}/{NAME}"
    with Page() as page:
        page.info = f"{server.url}{base}/info.json"
        screen = shown(page, tmp_path)
    assert (page.told["end"], page.told["failed"]) == ("shown", [])
    statuses = dict(page.told["statuses"])
    assert statuses.pop(page.info) == 200
    assert set(statuses.values()) == {200}
    info = json.loads(call(server, None, {}, f"{base}/info.json", "GET").body)
    offered = {
        f"{server.url}{base}/{tile.region}/{tile.width},{tile.height}/0/default.jpg": tile for tile in tiles_of(info)
    }
    sizes = {url: tuple(size) for url, size in page.told["sizes"].items()}
    assert sizes.keys() == statuses.keys()
    assert sizes == {url: (offered[url].width, offered[url].height) for url in sizes}
    assert {tile for tile in offered.values() if tile.scale <= LARGEST_SCALE} == {offered[url] for url in sizes}
    # The browser scales again, after its own fashion; two pixels aside, the distance is 11.
    part = screen.crop((0, 0, *VIEWER))
    assert distance(part, detailed(*SIZE).resize(VIEWER, Image.Resampling.LANCZOS)) < 7
    figures(
        f"OpenSeadragon, {version}.x", f"{len(sizes)} tiles of the right size, none failed; the picture in its place"
    )
