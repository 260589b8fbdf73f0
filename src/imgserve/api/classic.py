"""``POST /``: the original protocol. A raw ASGI handler, so that its answers are exactly those that its clients know.

JSON in, JSON out; status 200 for every code but 302 (401), 301 (503) and an oversized body (413).
"""

import msgspec

from imgserve import failpoint
from imgserve.api.http import asgi, body
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.http.body import BodyCutOff, BodyTooLarge, BodyTooSlow
from imgserve.api.parsing import parsed
from imgserve.api.presets import Presets
from imgserve.api.rate import Rates
from imgserve.api.refusals import Refusals
from imgserve.engine.intake import Intake
from imgserve.errors import ImgserveError, let_go
from imgserve.jobs.model import Answer
from imgserve.request.classic.parse import parse
from imgserve.request.classic.spelling import number_of, sentence_of
from imgserve.request.job import JobRequest
from imgserve.request.json_text import ParseError
from imgserve.request.principal import Principal
from imgserve.telemetry import logs, metrics, tracing

PARSE_ERROR = b'{"msg":"request parse error"}'
RETRY_AFTER_S = 5  # for errors that name no time


class Classic:
    """The handler, and the protocol's refusals. Codes 301 and 302 also speak through the status."""

    def __init__(self, intake: Intake, rates: Rates, refusals: Refusals, presets: Presets) -> None:
        self._intake = intake
        self._presets = presets
        self._rates = rates
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._intake.is_draining:
            await self.deny_unread(self._intake.draining(), scope, send)
            return
        principal: Principal = scope["principal"]
        request: JobRequest | None = None
        try:
            text = await body.read(receive, scope["route"].body)
            self._rates.take(principal)
            request = await parsed(text, parse, self._presets.recipes, presets_only=self._presets.is_only)
            answer = await self._intake.accept(request, principal, tracing.traceparent_in(scope["headers"]))
        except BodyTooLarge as error:
            await self._cannot_parse(f"{error.detail}, expected a job", scope, send, 413, close=True)
        except (BodyTooSlow, BodyCutOff) as error:
            await self._cannot_parse(error.detail, scope, send, close=True)
        except ParseError as error:
            await self._cannot_parse(str(error), scope, send)
        except ImgserveError as error:
            await self._deny(error, scope, send, request)
        except Exception:  # noqa: BLE001 - the boundary: a bug of ours still gets an answer of the protocol's shape
            logs.bug("intake_bug")
            bug = ImgserveError("a fault inside imgserve; its log has the details")
            await self._deny(bug, scope, send, request)
        else:
            await self._answer(answer, send)

    async def _answer(self, answer: Answer, send: Send) -> None:
        text = msgspec.json.encode({"dstURL": answer.outputs[0].placement.destination.shown})
        await reply(send, 200, text, (b"x-imgserve-job", answer.id.encode()))
        failpoint.reach("intake_answered")
        await self._intake.answered(answer.number)

    async def _cannot_parse(
        self, detail: str, scope: Scope, send: Send, status: int = 200, *, close: bool = False
    ) -> None:
        metrics.POSTS.labels("refused", "parse_error").inc()
        self._refusals.note(scope, "parse_error", detail)
        # The body has this one key since 2011.
        reason = (b"x-imgserve-detail", detail.encode("ascii", "replace"))
        await reply(send, status, PARSE_ERROR, reason, close=close)

    async def deny_unread(self, error: ImgserveError, scope: Scope, send: Send) -> None:
        """Refuse before the body is read: closes the connection, so that the rest of the body need not be read."""
        await self._deny(error, scope, send, close=True)

    async def _deny(
        self, error: ImgserveError, scope: Scope, send: Send, request: JobRequest | None = None, *, close: bool = False
    ) -> None:
        let_go(error)
        number = number_of(error) or 301
        status = {301: 503, 302: 401}.get(number, 200)
        metrics.POSTS.labels("refused", number).inc()
        if status != 200:
            metrics.REFUSALS.labels(error.code).inc()
        self._refusals.note(scope, error.code, sentence_of(error, request, is_discreet=True), number, request)
        retry_after = str(round(error.retry_after_s or RETRY_AFTER_S)).encode()
        headers = {503: [(b"retry-after", retry_after)], 401: [(b"www-authenticate", b"Bearer")]}.get(status, [])
        refusal = msgspec.json.encode({"msg": "request invalid", "code": number, "detail": sentence_of(error, request)})
        await reply(send, status, refusal, *headers, close=close)


async def reply(send: Send, status: int, text: bytes, *headers: tuple[bytes, bytes], close: bool = False) -> None:
    connection = ((b"connection", b"close"),) if close else ()
    await asgi.answer(send, status, ((b"content-type", b"application/json"), *connection, *headers), text)
