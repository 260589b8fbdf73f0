"""The front of all transfers: chooses the protocol of a source or destination, and checks it by policy.

In: ``Source`` and ``Destination`` values, blobs. Out: a ``Fetch``, a ``Delivery``, or one of ``faults``. Called by
``engine``; ``build`` makes one for the whole server.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec

from imgserve.blob import Blob, Fingerprint
from imgserve.limiter import Limiter
from imgserve.request.access import Access, Headers
from imgserve.request.destination import Destination
from imgserve.request.limits import Limits
from imgserve.request.protocols import SCHEMES, DestinationKind, Scheme, SourceKind
from imgserve.request.source import Source, parse_source, source_key
from imgserve.request.url import protocol_of
from imgserve.telemetry import logs
from imgserve.transfer.client import location
from imgserve.transfer.client.curl import Client
from imgserve.transfer.client.proxy import parse_proxy
from imgserve.transfer.config import Config
from imgserve.transfer.credentials import Credentials, Use
from imgserve.transfer.faults import (
    CredentialNotAllowed,
    DestinationRefused,
    SourceRefused,
    TransferError,
    TransfersBusy,
    WebhookRefused,
)
from imgserve.transfer.fetch import Fetch, Follows, anywhere
from imgserve.transfer.guard import Guard, Refusal
from imgserve.transfer.memory import Reservation, Together
from imgserve.transfer.protocols import message
from imgserve.transfer.protocols.file import Files
from imgserve.transfer.protocols.form import ReadPage, no_reader
from imgserve.transfer.protocols.ftp import Ftp
from imgserve.transfer.protocols.http import Http
from imgserve.transfer.protocols.s3 import S3
from imgserve.transfer.protocols.upload import Forms
from imgserve.transfer.uploads import UploadStore
from imgserve.transfer.version import UNKNOWN, Version
from imgserve.transfer.write import Delivery, Write

__all__ = ["Delivery", "Fetch", "Transfers", "Write"]


class Transfers:
    """All transfers of one server, in one event loop.

    ``read_page`` reads upload pages; without it no form is delivered to. ``slots`` are the exchanges that run and wait,
    ``budget`` is the memory for sources. ``read_uploads_of`` tells where sources are that came with their requests.
    """

    def __init__(
        self,
        config: Config,
        limits: Limits,
        read_page: ReadPage = no_reader,
        credentials: Credentials | None = None,
    ) -> None:
        """Raises ValueError or OSError where ``config.problems`` finds one."""
        self.credentials = Credentials() if credentials is None else credentials
        self._source_timeout_s = config.source_timeout_s
        self._limit_bytes = limits.source_bytes
        self.proxy = parse_proxy(config.proxy) if config.proxy else None
        self._guard = Guard.of(config)
        self._client = Client(self._guard, config, self.proxy)
        self.slots = self._client.slots
        http, ftp = Http(self._client, self.credentials), Ftp(self._client)
        self.files = Files(config.read_roots, config.write_roots)
        self.s3 = S3(config, self.slots, self.credentials)
        self._readers: dict[SourceKind, Files | Ftp | Http | S3 | UploadStore] = {
            "file": self.files, "ftp": ftp, "http": http, "s3": self.s3,
        }  # fmt: skip
        self._writers: dict[DestinationKind, Files | Ftp | Http | Forms | S3] = {
            "file": self.files,
            "ftp": ftp,
            "put": http,
            "form": Forms(self._client, read_page, self.credentials),
            "s3": self.s3,
        }
        self.budget = Limiter(config.memory_bytes)
        self._fetches: dict[asyncio.Task[None], Fetch] = {}

    def read_uploads_of(self, store: UploadStore) -> None:
        self._readers["upload"] = store

    def check_source(self, source: Source) -> None:
        """Check the text of the URL: port, literal address, root. A bucket's server is the settings' own.

        Raises SourceRefused.
        """
        if source.is_upload:
            return
        if not source.host:
            self.files.read_roots.locate(source.path)
        elif refusal := self._text_refusal(SCHEMES[source.scheme], source.host, source.port):
            raise SourceRefused(refusal.detail, refusal.hint)

    def check_destination(self, destination: Destination) -> None:
        """As ``check_source``. Raises DestinationRefused."""
        if not destination.host:
            self.files.write_roots.locate(destination.path)
        elif refusal := self._text_refusal(protocol_of(destination.url), destination.host, destination.port):
            raise DestinationRefused(refusal.detail, refusal.hint)

    def _text_refusal(self, protocol: Scheme, host: str, port: int) -> Refusal | None:
        if not protocol.has_bucket:
            return self._guard.text_refusal(host, port)
        if self.proxy and not self.proxy.is_http:
            return Refusal("Buckets cannot be reached through a SOCKS proxy", "the setting proxy has to name another")
        return None

    def check_credential(self, access: Access, url: str, principal: str, use: Use = "transfer") -> None:
        """Whether the principal may use it for this URL. Raises CredentialNotAllowed, with the path of its field."""
        try:
            self.credentials.check(access, principal, url, use)
        except CredentialNotAllowed as error:
            error.path = ("secret" if use == "webhook" else "credential",) if access.credential else ()
            raise

    def lent(self, source: Source, credential: str, principal: str) -> Source:
        """The source with this credential, if that is for its URL and the principal; else as it is."""
        if not credential or not self.credentials.is_allowed(credential, principal, source.url):
            return source
        return msgspec.structs.replace(source, access=Access(credential=credential))

    def check_webhook(self, url: str) -> None:
        """Check the text of the URL: port, literal address. Raises WebhookRefused."""
        origin = location.origin(url)
        if refusal := self._guard.text_refusal(origin.host, origin.port):
            raise WebhookRefused(refusal.detail, refusal.hint)

    async def is_same_file(self, source: Source, destination: Destination, principal: str) -> bool:
        """Whether a delivery would overwrite the source.

        Raises SourceRefused, DestinationRefused, CredentialNotAllowed.
        """
        if source.is_upload:
            return False
        if SCHEMES[source.scheme].has_bucket and protocol_of(destination.url).has_bucket:
            return self.s3.real_key(source, principal) == self.s3.real_key(destination, principal)
        if source.host or destination.host:
            return destination.writing.is_repeatable and source_key(source) == destination.key
        return await self.files.is_same_file(source, destination)

    async def with_real_key(self, destination: Destination, principal: str) -> Destination:
        """The destination under the key that all its spellings share.

        Raises DestinationRefused, CredentialNotAllowed.
        """
        if not destination.host:
            return msgspec.structs.replace(destination, key=await self.files.real_key(destination))
        if protocol_of(destination.url).has_bucket:
            return msgspec.structs.replace(destination, key=self.s3.real_key(destination, principal))
        return destination

    def with_public_url(self, destination: Destination, principal: str) -> Destination:
        """The destination with the URL at which browsers find it, if a credential tells.

        A form keeps its files where it likes. Raises CredentialNotAllowed.
        """
        if destination.writing.is_page:
            return destination
        url = self.credentials.public_url(destination.sends, principal, destination.url)
        return msgspec.structs.replace(destination, public_url=url) if url else destination

    def open(
        self,
        source: Source,
        budget: Together | None = None,
        within_s: float | None = None,
        *,
        principal: str = "",
        held: Version = UNKNOWN,
        follows: Follows = anywhere,
    ) -> Fetch:
        """Start a download, which the caller closes. All faults come from the Fetch.

        ``within_s`` limits all of it; without it waits for transfer slots and memory may take any time. ``principal``:
        the one whose credentials the source may name. ``held``: its version that the caller has already, of which no
        bytes are needed. ``follows``: whether it may be read from where a redirect leads.
        """
        reader = self._readers[source.kind]

        async def fetch(into: Fetch) -> None:
            await reader.fetch(source, into, self._source_timeout_s, principal)
            if source.digest and not into.is_unchanged:
                await into.check_digest(source.digest)

        async def fetch_in_time(into: Fetch) -> None:
            try:
                async with asyncio.timeout(within_s):
                    await fetch(into)
            except TimeoutError:
                reason = f"The source could not be fetched within {within_s:g} s"
                raise TransfersBusy(reason, "try again later") from None

        return self._start(fetch if within_s is None else fetch_in_time, budget, held, follows)

    def read_at_once(self, source: Source) -> tuple[Blob, Version] | None:
        """A small file of this machine, if that needs no wait; the caller closes it. None: ``open`` it.

        Raises SourceRefused, OutOfDescriptors.
        """
        if source.is_upload or source.digest or not SCHEMES[source.scheme].is_local:
            return None
        read = self.files.read_at_once(source, self._limit_bytes)
        if read is None:
            return None
        data, version = read
        reservation = Reservation(self.budget)
        with Blob(on_close=reservation.release) as blob, contextlib.suppress(OSError):
            if reservation.take_at_once(len(data)):
                blob.append(data)
                return blob.share(), version
        return None

    def receive(self, upload: Callable[[Fetch], Awaitable[None]]) -> Fetch:
        """Start to receive a picture that a client sends by ``upload``, which the caller closes."""
        return self._start(upload)

    def received(self, data: bytes) -> Fetch | None:
        """A picture that has come already, which the caller closes. None: it has to wait for memory, so ``receive`` it.

        Raises SourceTooLarge.
        """
        fetch = Fetch(self.budget, self._limit_bytes)
        is_taken = False
        try:
            is_taken = fetch.take(data)
        finally:
            if not is_taken:
                fetch.close()
        return fetch if is_taken else None

    def _start(
        self,
        transfer: Callable[[Fetch], Awaitable[None]],
        budget: Together | None = None,
        held: Version = UNKNOWN,
        follows: Follows = anywhere,
    ) -> Fetch:
        fetch = Fetch(budget or self.budget, self._limit_bytes, held, follows)
        task = fetch.start(transfer)
        self._fetches[task] = fetch
        task.add_done_callback(self._fetches.pop)
        return fetch

    async def deliver(self, destination: Destination, blob: Blob, write: Write) -> Delivery:
        """Write ``blob`` there. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
        return await self._writers[destination.kind].deliver(destination, blob, write)

    async def delete(self, destination: Destination, write: Write) -> None:
        """Delete the file, if there is one. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
        await self._writers[destination.kind].delete(destination, write)

    async def post(self, url: str, lines: tuple[str, ...], own: Headers, body: bytes, timeout_s: float) -> int:
        """Post JSON to a webhook, with header lines and the job's own headers; the status, a 2xx.

        Raises WebhookFailed, WebhookGone, WebhookRefused, TransfersBusy.
        """
        return await message.post(self._client, url, lines, own, body, timeout_s)

    async def size_of(self, destination: Destination, write: Write) -> int | None:
        """The number of bytes of the file there, 0 where it is not known; None if there is no file.

        Raises DeliveryFailed, DestinationRefused, CannotAsk.
        """
        return await self._writers[destination.kind].size_of(destination, write)

    async def is_foreign(self, destination: Destination, write: Write) -> bool:
        """Whether a file lies there that is not marked as imgserve's placeholder or failure picture.

        For destinations where files are marked. Raises DeliveryFailed, CredentialNotAllowed.
        """
        current = await self.s3.look(destination, write)
        return current is not None and not current.is_makeshift

    async def fingerprint_of(self, destination: Destination, write: Write) -> Fingerprint | None:
        """Of the file there, which is expected to be a small one; None if it cannot be read."""
        if not destination.host:
            return await self.files.fingerprint_of(destination, write.timeout_s)
        source = msgspec.structs.replace(parse_source(destination.url), access=destination.access)
        try:
            with self.open(source, within_s=write.timeout_s, principal=write.principal) as fetch:
                return (await fetch.finish()).fingerprint()
        except TransferError as error:
            logs.event("existing_unread", code=error.code, detail=error.detail)
            return None

    async def cancel(self) -> None:
        """End running downloads, in a process that is about to end. Its connections end with it: to close them,
        libcurl would wait for its threads that resolve names, and block the event loop meanwhile.
        """
        running = dict(self._fetches)
        for fetch in running.values():
            fetch.close()
        if running:
            await asyncio.wait(running)

    async def aclose(self) -> None:
        """End running downloads, close connections."""
        await self.cancel()
        await self._client.aclose()
        await self.files.aclose()
