"""The front of all transfers: which protocol serves a source or destination, and what policy says before it starts.

In: finished ``Source`` and ``Destination`` values, blobs. Out: a ``Fetch``, a ``Delivery``, or one of ``faults``.
Called by intake, the runner and the GET road; ``build`` builds one for the whole server.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import S_ISDIR

import msgspec

from imgserve.blob import Blob
from imgserve.errors import cause_of
from imgserve.request.destination import Destination
from imgserve.request.limits import Limits
from imgserve.request.source import Source, source_key
from imgserve.request.url import FTP_FAMILY
from imgserve.telemetry.states import LOOK_EVERY_S, State
from imgserve.transfer.client import authorities
from imgserve.transfer.client.curl import Client
from imgserve.transfer.client.handle import Pace, parse_referer
from imgserve.transfer.client.proxy import SCHEMES, parse_proxy
from imgserve.transfer.faults import DeliveryFailed, DestinationRefused, SourceRefused
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.guard import DEFAULT_PORTS, Guard, Refusal, parse_network, parse_ports
from imgserve.transfer.memory import Budget
from imgserve.transfer.protocols import file, ftp, http, upload
from imgserve.transfer.protocols.form import ReadPage, no_reader
from imgserve.transfer.protocols.ftp_servers import Servers
from imgserve.transfer.protocols.roots import Place, Roots
from imgserve.transfer.write import Delivery, Write

__all__ = ["Config", "Delivery", "Fetch", "Transfers", "Write"]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Networks are CIDRs, roots directories, ports numbers or ranges; ``max_per_host`` is per host and port.

    ``ca_file`` holds certificates (PEM) of authorities that TLS peers may have beside certifi's. ``proxy`` is a URL and
    may hold a password. ``referers`` are HOST=URL.
    """

    allow_networks: tuple[str, ...] = ()
    ports: tuple[str, ...] = DEFAULT_PORTS
    read_roots: tuple[str, ...] = ()
    write_roots: tuple[str, ...] = ()
    ca_file: str = ""
    proxy: str = ""
    referers: tuple[str, ...] = ()
    connect_timeout_s: float = 5.0
    source_timeout_s: float = 30.0
    low_speed_bytes_s: int = 1024
    low_speed_time_s: int = 10
    max_transfers: int = 64
    max_per_host: int = 8
    max_per_host_ftp: int = 2
    memory_bytes: int = 256_000_000

    def problems(self) -> tuple[str, ...]:
        """One sentence for each value that cannot work; it begins with the field's name and a colon."""
        found = [
            f"allow_networks: expected a network such as 10.0.0.0/8, got {text!r}"
            for text in self.allow_networks
            if not _is_read_by(parse_network, text)
        ]
        found += [
            f"ports: expected a port such as 443 or a range such as 1024-65535, got {text!r}"
            for text in self.ports
            if not _is_read_by(parse_ports, text)
        ]
        for field, roots in (("read_roots", self.read_roots), ("write_roots", self.write_roots)):
            found += [f"{field}: {fault}" for root in roots if (fault := _root_fault(root))]
        if self.ca_file and (fault := _authorities_fault(self.ca_file)):
            found.append(f"ca_file: {fault}")
        if self.proxy and not _is_read_by(parse_proxy, self.proxy):
            found.append(f"proxy: expected scheme://host:port, the scheme one of {', '.join(SCHEMES)}")
        found += _referer_problems(self.referers)
        return tuple(found)

    def __repr__(self) -> str:
        return f"Config(allow_networks={self.allow_networks}, read_roots={self.read_roots})"


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
        self._client = Client(self._guard, _pace(config), config.ca_file, self.proxy, referers)
        self._ftp_servers = Servers()
        self._threads = file.Threads()
        self._read_roots = Roots(config.read_roots)
        self._write_roots = Roots(config.write_roots)
        self.budget = Budget(config.memory_bytes)
        self._fetches: set[Fetch] = set()

    def check_source(self, source: Source) -> None:
        """Judge the text alone: port, literal address, root. Raises SourceRefused."""
        if source.scheme == "file":
            self._source_place(source)
            return
        refusal = self._refusal(source.host, source.port)
        if refusal is not None:
            raise SourceRefused(refusal.detail, refusal.hint)

    def check_destination(self, destination: Destination) -> None:
        """Judge the text alone: port, literal address, root. Raises DestinationRefused."""
        if destination.kind == "file":
            self._destination_place(destination)
            return
        refusal = self._refusal(destination.host, destination.port)
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

    def _refusal(self, host: str, port: int) -> Refusal | None:
        return self._guard.text_refusal(host, port)

    def _source_place(self, source: Source) -> Place:
        if not self._read_roots:
            raise SourceRefused("file: sources are off", "--read-root DIR opens a directory")
        place = self._read_roots.place(source.path)
        if place is None:
            raise SourceRefused("The source file is beneath no --read-root", "--read-root DIR opens a directory")
        return place

    def _destination_place(self, destination: Destination) -> Place:
        if not self._write_roots:
            raise DestinationRefused("file: destinations are off", "--write-root DIR opens a directory")
        place = self._write_roots.place(destination.path)
        if place is None:
            raise DestinationRefused("The file is beneath no --write-root", "--write-root DIR opens a directory")
        return place


def _referer_problems(texts: tuple[str, ...]) -> Iterator[str]:
    readable = [text for text in texts if _is_read_by(parse_referer, text)]
    for text in texts:
        if text not in readable:
            yield f"referers: expected HOST=URL such as pics.example.com=https://shop.example.com/, got {text!r}"
    times = Counter(referer.host for referer in set(map(parse_referer, readable)))
    for host in sorted(host for host in times if times[host] > 1):
        yield f"referers: {host} stands there twice, expected one URL for each host"


def _root_fault(root: str) -> str:
    try:
        is_directory = S_ISDIR(Path(root).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no directory {root!r} (make it, or name another)"
    except OSError as error:
        cause, remedy = cause_of(error)
        return f"{root!r} cannot be used: {cause} ({remedy or 'name another'})"
    return "" if is_directory else f"there is no directory {root!r} (make it, or name another)"


def _authorities_fault(ca_file: str) -> str:
    try:
        authorities.check(ca_file)
    except OSError as error:
        cause, remedy = cause_of(error)
        return f"expected a file of PEM certificates, {ca_file!r} cannot be read: {cause} ({remedy or 'name another'})"
    except ValueError:
        return f"expected a file of PEM certificates, there is none in {ca_file!r}"
    return ""


def _is_read_by(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except (ValueError, OSError):
        return False
    return True


def _pace(config: Config) -> Pace:
    return Pace(
        connect_timeout_s=config.connect_timeout_s,
        low_speed_bytes_s=config.low_speed_bytes_s,
        low_speed_time_s=config.low_speed_time_s,
        max_transfers=config.max_transfers,
        max_per_host=config.max_per_host,
        max_per_host_ftp=config.max_per_host_ftp,
    )
