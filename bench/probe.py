"""What a reply must at least do, as a bare script: fetch, read the header, PUT a placeholder. Started by ``accept``.

    python -m bench.probe PLACEHOLDER SOURCE_URL SINK_URL COUNT

pycurl with kept connections, libvips in the same process, no checks, no queue. Prints one JSON line: the seconds of
each pass, first with the source cut off behind its header, then with the whole source.
"""

import io
import json
import os
import sys
import time
from pathlib import Path

import pycurl
import pyvips

_HEADER_BYTES = 16_384
_WARM_UP = 5
_CUT = 0


class Prober:
    def __init__(self, source_url: str, sink_url: str, placeholder: bytes) -> None:
        self._sink_url = sink_url
        self._placeholder = placeholder
        self._received = bytearray()
        self._limit_bytes = sys.maxsize
        self._source = pycurl.Curl()
        self._source.setopt(pycurl.URL, source_url)
        self._source.setopt(pycurl.WRITEFUNCTION, self._take)
        self._sink = pycurl.Curl()
        self._sink.setopt(pycurl.UPLOAD, 1)
        self._sink.setopt(pycurl.HTTPHEADER, ["Expect:", "X-Imgserve-State: placeholder", "Content-Type: image/jpeg"])

    def once(self, number: int, *, is_whole: bool) -> None:
        self._received.clear()
        self._limit_bytes = sys.maxsize if is_whole else _HEADER_BYTES
        try:
            self._source.perform()
        except pycurl.error:
            assert not is_whole, "the whole source did not arrive"
        header = pyvips.Image.new_from_buffer(bytes(self._received), "", access="sequential")
        assert header.width > header.height
        self._sink.setopt(pycurl.URL, f"{self._sink_url}/bare/{number}.jpg")
        self._sink.setopt(pycurl.READDATA, io.BytesIO(self._placeholder))
        self._sink.setopt(pycurl.INFILESIZE, len(self._placeholder))
        self._sink.perform()

    def _take(self, data: bytes) -> int | None:
        self._received += data
        return None if len(self._received) < self._limit_bytes else _CUT


def measure(prober: Prober, count: int, *, is_whole: bool) -> list[float]:
    for number in range(_WARM_UP):
        prober.once(number, is_whole=is_whole)
    seconds = []
    for number in range(count):
        started = time.perf_counter()
        prober.once(number, is_whole=is_whole)
        seconds.append(time.perf_counter() - started)
    return seconds


def main(arguments: list[str]) -> None:
    placeholder, source_url, sink_url, count = arguments
    prober = Prober(source_url, sink_url, Path(placeholder).read_bytes())
    kinds = {"header": False, "whole": True}
    sys.stdout.write(json.dumps({kind: measure(prober, int(count), is_whole=kinds[kind]) for kind in kinds}) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
