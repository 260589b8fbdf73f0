"""Pictures that come with their requests: received before their jobs are taken in, kept as long as these need them.

In: a picture's chunks. Out: its source, which ``intake`` takes like any other. Called by ``api/v1/submit``.

The queue has a row of each picture before its first byte comes and until its last byte is deleted, so that a crash, of
this server or of another one with the same queue, leaves no picture that nobody deletes.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator

from imgserve.engine.config import UploadConfig
from imgserve.engine.intake import Draining
from imgserve.errors import ImgserveError
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.protocol import KeptUpload, UploadQueue
from imgserve.limiter import Key, Limiter
from imgserve.request import source as sources
from imgserve.request.principal import Principal
from imgserve.request.source import Source
from imgserve.telemetry import logs
from imgserve.telemetry.stage import stage
from imgserve.transfer.faults import UploadNotStored
from imgserve.transfer.uploads import NextChunk, UploadStore, Written

# So long a picture may be kept after its job's end.
TIDY_EVERY_S = 1.0
# So often pictures are looked for whose time is over though no job has ended here.
LOOK_EVERY_S = 60.0


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
        # Whether their jobs are stored could not be told. One that is stored later is refused at once.
        self._unsure: set[str] = set()
        self._coming_bytes = 0  # that the disk does not have yet
        self._receiving: set[asyncio.Timeout] = set()
        self._is_ending = False

    async def start(self) -> None:
        """Delete what the last server left without a job. Raises StorageFailing, UploadNotStored."""
        known = frozenset(upload.id for upload in await self._queue.uploads())
        orphans = await self._store.orphans(known)
        if orphans:
            logs.event("uploads_dropped", files=len(orphans), detail="no stored job has them")
            await self._store.remove(*orphans)

    async def run(self) -> None:
        """Delete pictures, each soon after its job's end."""
        while True:
            await self._queue.wait_for_uploads(LOOK_EVERY_S)
            try:
                await self.tidy()
            except ImgserveError as error:
                logs.event("uploads_not_deleted", level=logs.WARNING, code=error.code, detail=error.detail)
            await asyncio.sleep(TIDY_EVERY_S)

    @contextlib.asynccontextmanager
    async def received(
        self, source: Source, principal: Principal, next_chunk: NextChunk, most_bytes: int | None = None
    ) -> AsyncIterator[Source]:
        """``source`` once its bytes are stored, which outlive the block if a stored job has them by then.

        ``most_bytes``: its length, or more. Raises UploadQuotaFull, UploadsFull, Draining, StorageFailing, the faults
        of ``UploadStore.receive``.
        """
        most_bytes = self._most_bytes if most_bytes is None else min(most_bytes, self._most_bytes)
        upload = KeptUpload(uuid.uuid4().hex, principal.id, most_bytes)
        with self._slot(principal):
            written = await self._stored(upload, next_chunk)
        is_sure = True
        try:
            yield sources.received(source, upload.id, written.sha256)
        except (Draining, asyncio.CancelledError):
            is_sure = False  # the job may be stored yet: the end of the job decides, or the time that a row may be open
            raise
        except StorageFailing:
            is_sure = False
            self._unsure.add(upload.id)
            raise
        finally:
            if is_sure:
                await self._drop(upload.id)

    def end(self) -> None:
        """Receive no more: the clients of uploads under way get Draining."""
        self._is_ending = True
        for receiving in self._receiving:
            receiving.reschedule(asyncio.get_running_loop().time())

    async def _stored(self, upload: KeptUpload, next_chunk: NextChunk) -> Written:
        """The picture, in the room that is reserved for it. Nothing stays when it fails."""
        self._queue.check_disk(self._coming_bytes + upload.size_bytes)
        self._coming_bytes += upload.size_bytes
        is_reserved = is_whole = False
        try:
            await self._reserve(upload)
            is_reserved = True
            with stage("receive"):
                written = await self._receive(upload.id, next_chunk)
            self._queue.resize_upload(upload.id, written.size_bytes)
            is_whole = True
            return written
        finally:
            self._coming_bytes -= upload.size_bytes
            if is_reserved and not is_whole:
                await self._drop(upload.id)

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

    async def _reserve(self, upload: KeptUpload) -> None:
        """Of two that reserve the last room at the same moment both may be refused, so that never both have it.

        Raises UploadQuotaFull, UploadsFull, StorageFailing.
        """
        if await self._lack_of_room(upload, upload.size_bytes) is not None:
            await self.tidy()
            if (lack := await self._lack_of_room(upload, upload.size_bytes)) is not None:
                raise lack
        await self._queue.reserve_upload(upload, self._clock())
        if (lack := await self._lack_of_room(upload, 0)) is not None:
            await self._queue.drop_upload(upload.id, self._clock())
            await self._queue.forget_uploads((upload.id,))
            raise lack

    async def _lack_of_room(self, upload: KeptUpload, more_bytes: int) -> ImgserveError | None:
        """``more_bytes``: those of ``upload``, unless they are reserved."""
        used = await self._queue.upload_bytes(upload.principal)
        if used.of_principal + more_bytes > self._config.quota_bytes:
            kept_bytes = used.of_principal + more_bytes - upload.size_bytes
            detail = f"uploaded pictures of {kept_bytes:,} bytes are kept for your jobs or on their way"
            return UploadQuotaFull(detail, "wait for jobs to end")
        if used.total + more_bytes > self._config.max_bytes:
            return UploadsFull("the server keeps as many uploaded pictures as it may", "try again later")
        return None

    @contextlib.contextmanager
    def _slot(self, principal: Principal) -> Iterator[None]:
        """Hold a slot, or refuse at once. Raises UploadsFull, UploadQuotaFull."""
        total = self._slots.total
        own = Key(f"of {principal.id}", max(int(total * self._fraction), 1) if principal.has_quota else total)
        if not self._slots.take(own):
            if self._slots.asked(own) >= own.limit < total:
                what = f"{own.limit} uploads of this key are under way, which is its quota"
                raise UploadQuotaFull(what, "wait for one of them")
            raise UploadsFull("too many uploads are under way", "try again later")
        try:
            yield
        finally:
            self._slots.release(own)

    async def _drop(self, upload_id: str) -> None:
        """Delete the picture unless a job has it. If that fails, ``tidy`` does it."""
        try:
            if await self._queue.drop_upload(upload_id, self._clock()):
                await self._delete((upload_id,))
        except StorageFailing:
            self._unsure.add(upload_id)
        except UploadNotStored as error:
            logs.event("uploads_not_deleted", level=logs.WARNING, code=error.code, detail=error.detail)

    async def tidy(self) -> None:
        """Delete what no job needs any more. Raises StorageFailing, UploadNotStored."""
        for upload_id in frozenset(self._unsure):
            if await self._queue.drop_upload(upload_id, self._clock()):
                await self._delete((upload_id,))
            self._unsure.discard(upload_id)
        while released := await self._queue.release_uploads(self._clock()):
            await self._delete(released)

    async def _delete(self, upload_ids: tuple[str, ...]) -> None:
        """A row goes after its picture. Raises StorageFailing, UploadNotStored."""
        await self._store.remove(*upload_ids)
        await self._queue.forget_uploads(upload_ids)
