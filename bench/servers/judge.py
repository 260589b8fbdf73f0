"""Whether a server's picture is the one that was asked for, and how good it is. Called by ``__main__``."""

import importlib.util
import io
from collections.abc import Sequence

import pyvips
from bench import client
from bench.client import HungUp
from bench.effort import score
from bench.quality import reference
from bench.servers import alone
from bench.servers.cells import Cell
from bench.servers.contestants import Server
from bench.servers.figures import Quality
from bench.servers.measure import Origin
from PIL import Image

_OFF_BY_PX = 1  # servers round differently
_PIL_FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "avif": "AVIF", "gif": "GIF"}


class Unfit(Exception):
    """A server cannot do what the cell asks for; in words for the table."""


class Judge:
    """Keeps the references of a cell, which are dear, for all servers."""

    def __init__(self, cell: Cell, sources: Sequence[bytes]) -> None:
        self._cell = cell
        self._sources = sources
        self._references: dict[tuple[int, int, int], pyvips.Image] = {}
        self._is_scored = cell.is_scored and importlib.util.find_spec("ssimulacra2") is not None

    async def asked(self, server: Server, origin: Origin) -> Quality:
        """Of one picture for each source. Raises Unfit."""
        connection = await client.connect(server.url)
        files = []
        origin.peers.bodies = {}
        try:
            for index in range(len(self._sources)):
                reply = await origin.picture(server, connection, index)
                if reply.status != 200:
                    raise Unfit(f"answers {reply.status}")
                files.append(reply.body)
        except (HungUp, TimeoutError) as error:
            raise Unfit("hangs up" if isinstance(error, HungUp) else "does not answer in time") from error
        finally:
            origin.peers.bodies = None
            connection.close()
        return self.of(files)

    def by_hand(self) -> Quality:
        return self.of([alone.result(self._cell, source) for source in self._sources])

    def of(self, files: Sequence[bytes]) -> Quality:
        """Of the results of all sources, in their order. Raises Unfit."""
        scores = []
        for index, file in enumerate(files):
            width_px, height_px = self._check(index, file)
            if self._is_scored:
                whole = self._reference(index, width_px, height_px)
                scores.append(score(_best_part(whole, file) if self._cell.is_cut else whole, file))
        return Quality(scores, [len(file) for file in files])

    def _check(self, index: int, file: bytes) -> tuple[int, int]:
        cell = self._cell
        try:
            image = Image.open(io.BytesIO(file))
        except OSError as error:
            raise Unfit("answers with no picture") from error
        with image:
            if image.format != _PIL_FORMATS[cell.format]:
                raise Unfit(f"answers with {image.format} instead of {_PIL_FORMATS[cell.format]}")
            source = pyvips.Image.new_from_buffer(self._sources[index], "")
            expected = cell.size_of(source.width, source.height)
            if any(abs(side - wanted) > _OFF_BY_PX for side, wanted in zip(image.size, expected, strict=True)):
                raise Unfit("answers with {} x {} instead of {} x {}".format(*image.size, *expected))
            frames = getattr(image, "n_frames", 1)
            if frames != cell.frames:
                raise Unfit(f"answers with {frames} frames instead of {cell.frames}")
            return image.size

    def _reference(self, index: int, width_px: int, height_px: int) -> pyvips.Image:
        """By Lanczos in linear light, in floats; the whole picture, of which a cell may cut a part."""
        key = index, width_px, height_px
        if key not in self._references:
            source = self._sources[index]
            if not self._cell.is_cut:
                self._references[key] = reference(source, width_px, height_px)
            else:
                whole = pyvips.Image.new_from_buffer(source, "")
                scale = max(width_px / whole.width, height_px / whole.height)
                self._references[key] = reference(source, round(whole.width * scale), round(whole.height * scale))
        return self._references[key]


def _best_part(image: pyvips.Image, file: bytes) -> pyvips.Image:
    """The middle, or a pixel beside it: servers round the place of the part that they cut out differently."""
    result = pyvips.Image.new_from_buffer(file, "").colourspace("srgb")
    left, top = (image.width - result.width) // 2, (image.height - result.height) // 2
    parts = [
        image.crop(x, y, result.width, result.height)
        for x in range(max(left - 1, 0), min(left + 2, image.width - result.width + 1))
        for y in range(max(top - 1, 0), min(top + 2, image.height - result.height + 1))
    ]
    return min(parts, key=lambda part: (part - result[:3]).abs().avg())
