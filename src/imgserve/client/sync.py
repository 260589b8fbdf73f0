"""``Client``: the native API for programs with threads. ``aio`` has the same for asyncio."""

import contextlib
import ssl
import time
import uuid
from collections.abc import Generator, Iterator
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


class Submitted:
    """A job that the server has accepted. ``job`` is its state then."""

    def __init__(self, client: "Client", job: Job) -> None:
        self._client = client
        self.job = job

    @property
    def id(self) -> str:
        return self.job.id

    def wait(self, timeout_s: float | None = None) -> Job:
        """As ``Client.wait``."""
        return self._client.wait(self.id, timeout_s)

    def cancel(self) -> Job:
        return self._client.cancel(self.id)

    def __repr__(self) -> str:
        return f"Submitted({self.id}, {self.job.status})"


class Client:
    """The server at ``url``. A client may be shared between threads; close it, or use it in ``with``.

    ``retry_s``: how long a call is tried again while the server cannot be reached or has no time; 0: once only.
    ``tls``: for certificates of an authority of one's own.

    Every call raises ApiError for a refusal, Unreachable, AnswerInvalid.
    """

    def __init__(
        self,
        url: str = calls.LOCAL,
        *,
        key: str = "",
        retry_s: float = flows.RETRY_S,
        tls: ssl.SSLContext | None = None,
        data_dir: Path | None = None,
    ) -> None:
        """``data_dir``: call the server of this data directory by its control socket, as its operator, without a key.

        Raises ValueError for a URL or key that cannot be one, FileUnusable for the directory.
        """
        self._server = Server(url, key, data_dir, tls)
        self._patience = Patience(retry_s)
        with contextlib.ExitStack() as held:
            socket = None if data_dir is None else httpx.HTTPTransport(uds=transport.socket_of(data_dir, held))
            self._http = held.enter_context(httpx.Client(**transport.options_of(self._server), transport=socket))
            self._held = held.pop_all()

    def submit(
        self, source: Source, outputs: Outputs, *, idempotency_key: str = "", **options: Unpack[JobOptions]
    ) -> Submitted:
        """Submit a job; return once its placeholders are out.

        It is sent again after a lost answer, always with the same Idempotency-Key, so there is never a second job.
        Give a key of your own, such as an order's number, if your program itself may run again.
        """
        call = calls.submit(source, outputs, idempotency_key or uuid.uuid4().hex, options)
        return Submitted(self, self._run(flows.answered(call, self._patience)))

    def preview(self, source: Source, outputs: Outputs, **options: Unpack[JobOptions]) -> Preview:
        """The job that ``submit`` would make. Nothing is stored or sent."""
        return self._run(flows.answered(calls.preview(source, outputs, options), self._patience))

    def job(self, job_id: str) -> Job:
        return self._run(flows.answered(calls.job(job_id), self._patience)).job

    def wait(self, job_id: str, timeout_s: float | None = None) -> Job:
        """The job once it has ended, well or not. Raises StillRunning after ``timeout_s``."""
        return self._run(flows.ended(job_id, timeout_s, self._patience))

    def jobs(self, **filters: Unpack[JobFilters]) -> Iterator[Job]:
        """All jobs that match, the newest first. Pages are fetched as you go."""
        cursor: str | None = None
        while True:
            page = self._run(flows.answered(calls.page(filters, cursor), self._patience))
            yield from page.jobs
            cursor = page.next
            if cursor is None:
                return

    def cancel(self, job_id: str) -> Job:
        return self._run(flows.answered(calls.cancel(job_id), self._patience))

    def retry(self, job_id: str, outputs: Names | None = None) -> Job:
        """Queue failed outputs again: all, or those of these names."""
        return self._run(flows.answered(calls.retry(job_id, outputs), self._patience))

    def webhooks(self, job_id: str) -> tuple[WebhookDelivery, ...]:
        """The webhooks of a job and what became of them, oldest first."""
        return self._run(flows.answered(calls.webhooks(job_id), self._patience)).webhooks

    def replay_webhooks(self, job_id: str) -> tuple[WebhookDelivery, ...]:
        """Send those once more that were sent or given up, with the same ids and bodies."""
        return self._run(flows.answered(calls.replay_webhooks(job_id), self._patience)).webhooks

    def render(self, source: Source, **recipe: Unpack[RecipeOptions]) -> Picture:
        """The finished picture, as ``/v1/render`` makes it. Nothing is stored."""
        return self._run(flows.answered(calls.render(source, recipe), self._patience))

    def info(self, source: Source, include: Names = ()) -> Facts:
        """The picture's header. For what is included (thumbhash, blurhash, colors, exif, position) it is decoded."""
        return self._run(flows.answered(calls.info(source, include), self._patience))

    def events(self, *, job_id: str = "", types: Names = (), after: str = "") -> Generator[Event, None, None]:
        """What happens, as it happens: to all of your jobs without end, to one job until it has ended.

        A job's events begin with one of type ``job``, which shows it as it is. A connection that ends is opened again,
        and no event is missed that the server still has; one of type ``gap`` says that there were others. ``after``:
        begin behind the event of this id, else with what happens from now on.
        """
        feed = Feed(self._patience, job_id, types, after)
        while not feed.is_over:
            request, pause_s = feed.request(), 0.0
            try:
                with self._http.stream("GET", request.path, **transport.arguments_of(request, SILENCE_S)) as response:
                    if response.is_success:
                        feed.opened(response.status_code, response.headers.get("content-type", ""))
                        for chunk in response.iter_bytes():
                            yield from feed.take(chunk)
                        pause_s = feed.ended()
                    else:
                        response.read()
                        pause_s = feed.failed(transport.reply_of(response))
            except httpx.TransportError as error:
                pause_s = feed.failed(transport.lost(error, self._server))
            time.sleep(pause_s)

    def close(self) -> None:
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._server.data_dir or self._server.url})"

    def _run(self, flow: Flow[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                outcome = None
            else:
                outcome = self._exchange(step)

    def _exchange(self, request: Request) -> Reply | Lost:
        try:
            response = self._http.request(request.method, request.path, **transport.arguments_of(request))
        except httpx.TransportError as error:
            return transport.lost(error, self._server)
        return transport.reply_of(response)
