"""Pictures that come with their requests: received before their jobs are taken in, kept as long as these need them.

In: a picture's chunks. Out: its source, which ``intake`` takes like any other. Called by ``api/v1/submit``.

A picture is a file before a row names it, and has no row before its file is deleted, so that a crash in between leaves
a file without a row: the next start deletes it.
"""

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

from imgserve.engine.config import UploadConfig
from imgserve.engine.intake import Draining
from imgserve.errors import ImgserveError
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.protocol import UploadQueue
from imgserve.limiter import Key, Limiter
from imgserve.request import source as sources
from imgserve.request.principal import Principal
from imgserve.request.source import Source
from imgserve.telemetry import logs
from imgserve.telemetry.stage import stage
from imgserve.transfer.uploads import NextChunk, UploadStore, Written

# So long a picture may be kept after its job's end. A look takes the queue's thread 0.5 ms with 10,000 files.
TIDY_EVERY_S = 1.0


class UploadQuotaFull(ImgserveError):
    code = "upload_quota_full"
    status = 429
    is_retryable = True
    title = "Your quota of uploaded pictures is full"


class UploadsFull(ImgserveError):
    code = "uploads_full"
    status = 503
    is_retryable = True
    title = "Too many uploaded pictures are kept or under way"


class Uploads:
    """``fraction``: the part of the uploads under way that one of several principals may have. ``most_bytes`` is the
    limit of one picture.
    """

    def __init__(
        self,
        queue: UploadQueue,
        store: UploadStore,
        config: UploadConfig,
        fraction: float,
        most_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._store = store
        self._config = config
        self._fraction = fraction
        self._most_bytes = most_bytes
        self._clock = clock
        self._slots = Limiter(config.max_at_once)
        self._sizes: dict[str, tuple[str, int]] = {}  # by id: principal and bytes, of files and of reserved room
        self._bytes_of: Counter[str] = Counter()  # by principal
        # Whether their jobs are stored could not be told. One that is stored later is refused at once.
        self._unsure: set[str] = set()
        self._coming_bytes = 0  # that the disk does not have yet
        self._receiving: set[asyncio.Timeout] = set()
        self._is_ending = False

    async def start(self) -> None:
        """Take over the files that the last server left. Raises StorageFailing, UploadNotStored."""
        for upload in await self._queue.uploads():
            self._count(upload.id, upload.principal, upload.size_bytes)
        orphans = await self._store.orphans(frozenset(self._sizes))
        if orphans:
            logs.event("uploads_dropped", files=len(orphans), detail="no stored job has them")
            await self._store.remove(*orphans)

    async def run(self) -> None:
        """Delete files, each soon after its job's end."""
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            try:
                await self._tidy()
            except ImgserveError as error:
                logs.event("uploads_not_deleted", level=logs.WARNING, code=error.code, detail=error.detail)

    @contextlib.asynccontextmanager
    async def received(
        self,
        source: Source,
        principal: Principal,
        next_chunk: NextChunk,
        most_bytes: int | None = None,
    ) -> AsyncIterator[Source]:
        """``source`` once its bytes are a file, which outlives the block if a stored job has it by then.

        ``most_bytes``: its length, or more. Raises UploadQuotaFull, UploadsFull, Draining, StorageFailing, the faults
        of ``UploadStore.receive``.
        """
        upload_id = uuid.uuid4().hex
        most_bytes = self._most_bytes if most_bytes is None else min(most_bytes, self._most_bytes)
        await self._reserve(upload_id, principal.id, most_bytes)
        is_kept = False
        try:
            with self._slot(principal, most_bytes), stage("receive"):
                written = await self._receive(upload_id, next_chunk)
            self._count(upload_id, principal.id, written.size_bytes)
            try:
                yield sources.received(source, upload_id, written.sha256)
            except (Draining, asyncio.CancelledError):
                is_kept = True  # the job may be stored yet: the next start, or the end of the job, decides
                raise
            except StorageFailing:
                is_kept = True
                self._unsure.add(upload_id)
                raise
            finally:
                is_kept = is_kept or await self._is_kept(upload_id)
                if not is_kept:
                    await self._store.remove(upload_id)
        finally:
            if not is_kept:
                self._forget(upload_id)

    def end(self) -> None:
        """Receive no more: the clients of uploads under way get Draining."""
        self._is_ending = True
        for receiving in self._receiving:
            receiving.reschedule(asyncio.get_running_loop().time())

    @property
    def kept_bytes(self) -> int:
        """The size of all files, and the room that is reserved."""
        return self._bytes_of.total()

    async def _receive(self, upload_id: str, next_chunk: NextChunk) -> Written:
        """Raises Draining, the faults of ``UploadStore.receive``."""
        try:
            async with asyncio.timeout(0 if self._is_ending else None) as receiving:
                self._receiving.add(receiving)
                try:
                    return await self._store.receive(upload_id, next_chunk)
                finally:
                    self._receiving.discard(receiving)
        except TimeoutError:
            raise Draining("the server is stopping", "send the request again in a moment") from None

    async def _is_kept(self, upload_id: str) -> bool:
        try:
            return await self._queue.has_upload(upload_id)
        except StorageFailing:
            self._unsure.add(upload_id)
            return True

    async def _reserve(self, upload_id: str, principal: str, size_bytes: int) -> None:
        self._queue.check_disk(self._coming_bytes + size_bytes)
        if self._lacks_room(principal, size_bytes):
            await self._tidy()
        if self._bytes_of[principal] + size_bytes > self._config.quota_bytes:
            detail = f"uploaded pictures of {self._bytes_of[principal]:,} bytes are kept for your jobs or on their way"
            raise UploadQuotaFull(detail, "wait for jobs to end")
        if self._lacks_room(principal, size_bytes):
            raise UploadsFull("the server keeps as many uploaded pictures as it may", "try again later")
        self._count(upload_id, principal, size_bytes)

    def _lacks_room(self, principal: str, size_bytes: int) -> bool:
        config = self._config
        is_quota_full = self._bytes_of[principal] + size_bytes > config.quota_bytes
        return is_quota_full or self.kept_bytes + size_bytes > config.max_bytes

    @contextlib.contextmanager
    def _slot(self, principal: Principal, size_bytes: int) -> Iterator[None]:
        """Hold a slot, or refuse at once. Raises UploadsFull, UploadQuotaFull."""
        total = self._slots.total
        own = Key(f"of {principal.id}", max(int(total * self._fraction), 1) if principal.has_quota else total)
        if not self._slots.take(own):
            if self._slots.asked(own) >= own.limit < total:
                what = f"{own.limit} uploads of this key are under way, which is its quota"
                raise UploadQuotaFull(what, "wait for one of them")
            raise UploadsFull("too many uploads are under way", "try again later")
        self._coming_bytes += size_bytes
        try:
            yield
        finally:
            self._coming_bytes -= size_bytes
            self._slots.release(own)

    async def _tidy(self) -> None:
        """Raises StorageFailing, UploadNotStored."""
        for upload_id in frozenset(self._unsure):
            if not await self._queue.has_upload(upload_id):
                await self._store.remove(upload_id)
                self._forget(upload_id)
            self._unsure.discard(upload_id)
        while self._sizes and (released := await self._queue.release_uploads(self._clock())):
            await self._store.remove(*released)
            for upload_id in released:
                self._forget(upload_id)

    def _count(self, upload_id: str, principal: str, size_bytes: int) -> None:
        self._forget(upload_id)
        self._sizes[upload_id] = principal, size_bytes
        self._bytes_of[principal] += size_bytes

    def _forget(self, upload_id: str) -> None:
        if upload_id in self._sizes:
            principal, size_bytes = self._sizes.pop(upload_id)
            self._bytes_of[principal] -= size_bytes
            if not self._bytes_of[principal]:
                del self._bytes_of[principal]
