"""The front of all transfers: which protocol serves a source or destination, and what policy says before it starts.

In: finished ``Source`` and ``Destination`` values, blobs. Out: a ``Fetch``, a ``Delivery``, or one of ``faults``.
Called by intake, the runner and the GET road; ``build`` builds one for the whole server.
"""

import asyncio
from collections.abc import Iterator

import msgspec

from imgserve.blob import Blob
from imgserve.limiter import Limiter
from imgserve.request.destination import Destination
from imgserve.request.limits import Limits
from imgserve.request.source import Source, source_key
from imgserve.request.url import FTP_FAMILY
from imgserve.telemetry.states import LOOK_EVERY_S, State
from imgserve.transfer.client.curl import Client
from imgserve.transfer.client.handle import parse_referer
from imgserve.transfer.client.proxy import parse_proxy
from imgserve.transfer.config import Config
from imgserve.transfer.faults import DeliveryFailed, DestinationRefused, SourceRefused
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.guard import Guard, parse_network, parse_ports
from imgserve.transfer.protocols import file, ftp, http, upload
from imgserve.transfer.protocols.form import ReadPage, no_reader
from imgserve.transfer.protocols.ftp_servers import Servers
from imgserve.transfer.protocols.roots import Place, Roots
from imgserve.transfer.write import Delivery, Write

__all__ = ["Delivery", "Fetch", "Transfers", "Write"]


class Transfers:
    """All transfers of one server, in one event loop. ``aclose`` ends what still runs.

    ``read_page`` reads upload pages; without one nothing can be delivered to a form.
    """

    def __init__(self, config: Config, limits: Limits, read_page: ReadPage = no_reader) -> None:
        """Raises ValueError or OSError for what ``config.problems`` would have named."""
        self._config = config
        self._limit_bytes = limits.source_bytes
        self._read_page = read_page
        self.proxy = parse_proxy(config.proxy) if config.proxy else None
        self._guard = Guard(
            tuple(parse_network(text) for text in config.allow_networks),
            tuple(parse_ports(text) for text in config.ports),
            self.proxy.port if self.proxy else 0,
        )
        referers = tuple(parse_referer(text) for text in config.referers)
        self._client = Client(self._guard, config, self.proxy, referers)
        self._ftp_servers = Servers()
        self._threads = file.Threads()
        self._read_roots = Roots(config.read_roots)
        self._write_roots = Roots(config.write_roots)
        self.budget = Limiter(config.memory_bytes)
        self._fetches: set[Fetch] = set()

    def check_source(self, source: Source) -> None:
        """Judge the text alone: port, literal address, root. Raises SourceRefused."""
        if source.scheme == "file":
            self._source_place(source)
            return
        refusal = self._guard.text_refusal(source.host, source.port)
        if refusal is not None:
            raise SourceRefused(refusal.detail, refusal.hint)

    def check_destination(self, destination: Destination) -> None:
        """Judge the text alone: port, literal address, root. Raises DestinationRefused."""
        if destination.kind == "file":
            self._destination_place(destination)
            return
        refusal = self._guard.text_refusal(destination.host, destination.port)
        if refusal is not None:
            raise DestinationRefused(refusal.detail, refusal.hint)

    async def is_same_place(self, source: Source, destination: Destination) -> bool:
        """Whether a delivery would overwrite the source. Raises SourceRefused, DestinationRefused."""
        if destination.kind == "form":
            return False
        if source.scheme == "file" or destination.kind == "file":
            if source.scheme != "file" or destination.kind != "file":
                return False
            one, other = self._source_place(source), self._destination_place(destination)
            return await file.is_same_file(self._threads, one, other)
        return source_key(source) == destination.key

    async def resolved(self, destination: Destination) -> Destination:
        """The destination under the key by which others are compared with it. Raises DestinationRefused."""
        if destination.kind != "file":
            return destination
        key = await file.real_key(self._threads, self._destination_place(destination))
        return msgspec.structs.replace(destination, key=key)

    def open(self, source: Source) -> Fetch:
        """Start a download. Raises SourceRefused; all other faults come from the Fetch."""
        fetch = Fetch(self.budget, self._limit_bytes)
        timeout_s = self._config.source_timeout_s
        if source.scheme == "file":
            place = self._source_place(source)
            fetch.start(lambda into: file.fetch(self._threads, place, into, timeout_s))
        elif source.scheme in FTP_FAMILY:
            fetch.start(lambda into: ftp.fetch(self._client, self._ftp_servers, source.url, into, timeout_s))
        else:
            fetch.start(lambda into: http.fetch(self._client, source.url, into, timeout_s))
        self._fetches.add(fetch)
        fetch.on_end(self._fetches.discard)
        return fetch

    async def deliver(self, destination: Destination, blob: Blob, write: Write) -> Delivery:
        """Write ``blob`` to its place. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
        match destination.kind:
            case "file":
                return await file.deliver(self._threads, self._destination_place(destination), blob, write)
            case "ftp":
                return await ftp.deliver(self._client, self._ftp_servers, destination.url, blob, write)
            case "put":
                return await http.put(self._client, destination, blob, write)
            case "form":
                return await upload.post(self._client, self._read_page, destination, blob, write)

    async def delete(self, destination: Destination, write: Write) -> None:
        """Remove what is there, if anything. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
        match destination.kind:
            case "file":
                await file.delete(self._threads, self._destination_place(destination), write)
            case "ftp":
                await ftp.delete(self._client, self._ftp_servers, destination.url, write)
            case "put":
                await http.delete(self._client, destination.url, write.timeout_s)
            case "form":
                raise DeliveryFailed("An upload form cannot delete what it took", "use another on_failure")

    def states(self) -> Iterator[State]:
        troubles = dict.fromkeys(self._read_roots.troubles + self._write_roots.troubles)
        if troubles:
            yield State("root_unavailable", "; ".join(troubles))

    async def watch_roots(self) -> None:
        """Keep ``states`` up to date while no job comes by. Nothing wakes a server whose directory is unmounted."""
        while self._read_roots or self._write_roots:
            for roots in (self._read_roots, self._write_roots):
                await self._threads.run(roots.look)
            await asyncio.sleep(LOOK_EVERY_S)

    @property
    def under_way(self) -> tuple[int, int]:
        """Exchanges that run, and that wait for their turn."""
        return self._client.under_way

    async def break_off(self) -> None:
        """End running downloads, in a process that is about to end. Its connections end with it: to close them,
        libcurl would wait for its threads that ask name servers, and hold up the event loop meanwhile.
        """
        running = tuple(self._fetches)
        for fetch in running:
            fetch.cancel()
        await asyncio.gather(*(fetch.ended() for fetch in running))

    async def aclose(self) -> None:
        """End running downloads, close connections."""
        await self.break_off()
        await self._client.aclose()
        await self._threads.aclose()

    def _source_place(self, source: Source) -> Place:
        place = self._read_roots.place(source.path)
        if place is None:
            reason = "The source file is beneath no --read-root" if self._read_roots else "file: sources are off"
            raise SourceRefused(reason, "--read-root DIR opens a directory")
        return place

    def _destination_place(self, destination: Destination) -> Place:
        place = self._write_roots.place(destination.path)
        if place is None:
            reason = "The file is beneath no --write-root" if self._write_roots else "file: destinations are off"
            raise DestinationRefused(reason, "--write-root DIR opens a directory")
        return place
