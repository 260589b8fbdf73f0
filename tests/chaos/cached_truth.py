"""What GETs have to show: pictures by a second server, which keeps nothing, of sources that never change."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from tests.chaos.cached_sources import Source
from tests.support.daemon import LOOPBACK, Daemon
from tests.support.getting import Client
from tests.support.ondemand import render

WEBP = "image/webp"
# No worker was free in time, which says nothing of the picture.
BUSY = 503
# Of every dialect: pictures made in several ways, the source's own bytes, and descriptions. URL is the source's.
TARGETS = (
    "/imgproxy/_/rs:fit:40:0/plain/URL", "/thumbor/unsafe/20x20/URL", "/iiif/3/QUOTED/full/44,/0/default.jpg",
    "/imgproxy/_/skp:png:jpg/plain/URL", "/imgproxy/_/rs:fill:48:32/g:no/q:60/plain/URL@webp",
    "/imgproxy/_/rs:force:30:30/rot:90/plain/URL@png", "/imgproxy/_/t:10/plain/URL@png",
    "/imgproxy/_/raw:1/plain/URL", "/thumbor/unsafe/fit-in/60x40/smart/URL", "/thumbor/unsafe/trim/30x0/URL",
    "/thumbor/unsafe/0x33/filters:grayscale():quality(70)/URL", "/thumbor/unsafe/meta/50x50/URL",
    "/iiif/3/QUOTED/square/!30,30/90/gray.png", "/iiif/3/QUOTED/pct:10,10,50,50/max/0/default.jpg",
    "/iiif/3/QUOTED/info.json",
)  # fmt: skip
MOUNT = 'allow_unsigned = true\nsources = ["file://DIR/", "WEB/"]\n'
MOUNTS = (
    f'[get.imgproxy]\npath = "/imgproxy"\nallow_raw = true\n{MOUNT}'
    f'[get.thumbor]\npath = "/thumbor"\nnegotiate = ["webp"]\n{MOUNT}'
    f'[get.iiif]\npath = "/iiif"\npublic_url = "https://pictures.test/iiif"\n{MOUNT}'
)


class Shown(NamedTuple):
    """``body`` is empty for an error, whose words are the dialect's."""

    status: int
    media_type: str
    body: bytes


def path_of(target: str, url: str) -> str:
    return target.replace("URL", url).replace("QUOTED", quote(url, safe=""))


def shown(status: int, media_type: str, body: bytes, url: str) -> Shown:
    """Descriptions name their source, whose URL is another one here and there."""
    if status != 200:
        return Shown(status, "", b"")
    if "json" in media_type:
        for spelling in (url, quote(url), quote(url, safe="")):
            body = body.replace(spelling.encode(), b"URL")
    return Shown(status, media_type, body)


class Truth:
    def __init__(self, top: Path) -> None:
        self._directory = top / "sources"
        self._directory.mkdir(parents=True)
        config = top / "imgserve.toml"
        config.write_text(MOUNTS.replace("DIR", str(self._directory)).replace(', "WEB/"', ""))
        nothing = {"cache_bytes": 0, "cache_memory_bytes": 0, "source_cache_bytes": 0, "cache_negative_s": 0}
        given = (*LOOPBACK, "--read-root", str(top), "--config", str(config))
        self.server = Daemon(top / "data", *given, switches={**nothing, "log_level": "warning"})
        self._known: dict[tuple[str, int, str, str], Shown] = {}
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        with self.server:
            yield

    def rendered(self, master: Path, encode: Mapping[str, object]) -> bytes:
        """As a job delivers it."""
        place = self._directory.parent / master.name
        place.write_bytes(master.read_bytes())
        reply = render(self.server, {"source": f"file://{place}", "encode": encode})
        while reply.status == BUSY:
            reply = render(self.server, {"source": f"file://{place}", "encode": encode})
        assert reply.status == 200, reply
        return reply.body

    def of(self, source: Source, content: int, target: str, accept: str) -> Shown:
        place = source.name, content, target, accept
        with self._lock:
            known = self._known.get(place)
        if known is None:
            known = self._asked(source, content, target, accept)
            with self._lock:
                assert self._known.setdefault(place, known) == known, f"{place} has two truths"
        return known

    def _asked(self, source: Source, content: int, target: str, accept: str) -> Shown:
        file = self._directory / f"{content}-{source.path.name}"
        data = source.bytes_of(content)
        with self._lock:
            if data is not None and not file.exists():
                file.write_bytes(data)
        url = f"file://{file}"
        with Client(self.server.url) as client:
            reply = client.get(path_of(target, url), Accept=accept)
            while reply.status == BUSY:
                reply = client.get(path_of(target, url), Accept=accept)
        return shown(reply.status, reply["content-type"], reply.body, url)

    def named(self, source: Source, target: str, accept: str, answer: Shown) -> list[int]:
        """The contents of the source of which this would be right."""
        with self._lock:
            same = [(place, known) for place, known in self._known.items() if place[0] == source.name]
        return [place[1] for place, known in same if place[2:] == (target, accept) and known == answer]
