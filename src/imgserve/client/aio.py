"""``AsyncClient``: the native API for programs with asyncio. ``sync`` has the same for threads."""

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from imgserve.client import calls, flows, transport
from imgserve.client.answers import Event, Facts, Job, Picture, Preview, WebhookDelivery
from imgserve.client.calls import JobFilters, JobOptions, Names, Outputs, RecipeOptions, Reply, Request
from imgserve.client.content import Source
from imgserve.client.events import SILENCE_S, Feed
from imgserve.client.flows import Flow, Lost, Outcome, Patience, Pause
from imgserve.client.transport import Server

T = TypeVar("T")


class AsyncSubmitted:
    """A job that the server has accepted. ``job`` is its state then."""

    def __init__(self, client: "AsyncClient", job: Job) -> None:
        self._client = client
        self.job = job

    @property
    def id(self) -> str:
        return self.job.id

    async def wait(self, timeout_s: float | None = None) -> Job:
        """As ``AsyncClient.wait``."""
        return await self._client.wait(self.id, timeout_s)

    async def cancel(self) -> Job:
        return await self._client.cancel(self.id)

    def __repr__(self) -> str:
        return f"AsyncSubmitted({self.id}, {self.job.status})"


class AsyncClient:
    """The server at ``url``, as by ``Client``, with methods to be awaited. For one event loop."""

    def __init__(
        self,
        url: str = calls.LOCAL,
        *,
        key: str = "",
        retry_s: float = flows.RETRY_S,
        tls: ssl.SSLContext | None = None,
        data_dir: Path | None = None,
    ) -> None:
        """As that of ``Client``."""
        self._server = Server(url, key, data_dir, tls)
        self._patience = Patience(retry_s)
        with contextlib.ExitStack() as held:
            socket = None if data_dir is None else httpx.AsyncHTTPTransport(uds=transport.socket_of(data_dir, held))
            self._http = httpx.AsyncClient(**transport.options_of(self._server), transport=socket)
            self._held = held.pop_all()

    async def submit(
        self, source: Source, outputs: Outputs, *, idempotency_key: str = "", **options: Unpack[JobOptions]
    ) -> AsyncSubmitted:
        """As ``Client.submit``."""
        call = calls.submit(source, outputs, idempotency_key or uuid.uuid4().hex, options)
        return AsyncSubmitted(self, await self._run(flows.answered(call, self._patience)))

    async def preview(self, source: Source, outputs: Outputs, **options: Unpack[JobOptions]) -> Preview:
        """The job that ``submit`` would make. Nothing is stored or sent."""
        return await self._run(flows.answered(calls.preview(source, outputs, options), self._patience))

    async def job(self, job_id: str) -> Job:
        return (await self._run(flows.answered(calls.job(job_id), self._patience))).job

    async def wait(self, job_id: str, timeout_s: float | None = None) -> Job:
        """The job once it has ended, well or not. Raises StillRunning after ``timeout_s``."""
        return await self._run(flows.ended(job_id, timeout_s, self._patience))

    async def jobs(self, **filters: Unpack[JobFilters]) -> AsyncIterator[Job]:
        """All jobs that match, the newest first. Pages are fetched as you go."""
        cursor: str | None = None
        while True:
            page = await self._run(flows.answered(calls.page(filters, cursor), self._patience))
            for job in page.jobs:
                yield job
            cursor = page.next
            if cursor is None:
                return

    async def cancel(self, job_id: str) -> Job:
        return await self._run(flows.answered(calls.cancel(job_id), self._patience))

    async def retry(self, job_id: str, outputs: Names | None = None) -> Job:
        """Queue failed outputs again: all, or those of these names."""
        return await self._run(flows.answered(calls.retry(job_id, outputs), self._patience))

    async def webhooks(self, job_id: str) -> tuple[WebhookDelivery, ...]:
        """The webhooks of a job and what became of them, oldest first."""
        return (await self._run(flows.answered(calls.webhooks(job_id), self._patience))).webhooks

    async def replay_webhooks(self, job_id: str) -> tuple[WebhookDelivery, ...]:
        """Send those once more that were sent or given up, with the same ids and bodies."""
        return (await self._run(flows.answered(calls.replay_webhooks(job_id), self._patience))).webhooks

    async def render(self, source: Source, **recipe: Unpack[RecipeOptions]) -> Picture:
        """The finished picture, as ``/v1/render`` makes it. Nothing is stored."""
        return await self._run(flows.answered(calls.render(source, recipe), self._patience))

    async def info(self, source: Source, include: Names = ()) -> Facts:
        """The picture's header. For what is included (thumbhash, blurhash, colors, exif, position) it is decoded."""
        return await self._run(flows.answered(calls.info(source, include), self._patience))

    async def events(self, *, job_id: str = "", types: Names = (), after: str = "") -> AsyncGenerator[Event, None]:
        """As ``Client.events``."""
        feed = Feed(self._patience, job_id, types, after)
        while not feed.is_over:
            request, pause_s = feed.request(), 0.0
            arguments = transport.arguments_of(request, SILENCE_S)
            try:
                async with self._http.stream("GET", request.path, **arguments) as response:
                    if response.is_success:
                        feed.opened(response.status_code, response.headers.get("content-type", ""))
                        async for chunk in response.aiter_bytes():
                            for event in feed.take(chunk):
                                yield event
                        pause_s = feed.ended()
                    else:
                        await response.aread()
                        pause_s = feed.failed(transport.reply_of(response))
            except httpx.TransportError as error:
                pause_s = feed.failed(transport.lost(error, self._server))
            await asyncio.sleep(pause_s)

    async def aclose(self) -> None:
        await self._http.aclose()
        self._held.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncClient({self._server.data_dir or self._server.url})"

    async def _run(self, flow: Flow[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                outcome = None
            else:
                outcome = await self._exchange(step)

    async def _exchange(self, request: Request) -> Reply | Lost:
        try:
            response = await self._http.request(request.method, request.path, **transport.arguments_of(request))
        except httpx.TransportError as error:
            return transport.lost(error, self._server)
        return transport.reply_of(response)
