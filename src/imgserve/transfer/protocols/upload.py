"""HTTP(S) upload forms: get the page, fill in its form, post, judge the answer. Called by ``dispatch``.

``form`` fills in the form, ``confirmation`` judges the answer.

The exchanges of one post share a cookie engine, and share it with no other. A page without any form is posted to
directly, so that a plain upload endpoint works too.
"""

import asyncio

import msgspec

from imgserve.blob import Blob
from imgserve.errors import FieldRef, ImgserveError
from imgserve.request.destination import Destination
from imgserve.request.faults import DESTINATION
from imgserve.request.page import Page
from imgserve.telemetry import logs
from imgserve.transfer.client import follow, location
from imgserve.transfer.client.call import Answer, Call
from imgserve.transfer.client.curl import Client, Session
from imgserve.transfer.faults import DeliveryFailed, delivering
from imgserve.transfer.protocols import confirmation, form, http
from imgserve.transfer.protocols.form import Post, ReadPage
from imgserve.transfer.write import Delivery, Write

_PAGE_LIMIT_BYTES = 1_000_000
_BEFORE_TAG = b"\xef\xbb\xbf\t\n\f\r "  # a byte order mark, and white space


class _Seen(msgspec.Struct, frozen=True):
    """The upload page: its URL at the end of all redirects, and its contents if it is HTML."""

    url: str
    contents: Page | None


class Forms:
    """``read_page`` reads upload pages."""

    def __init__(self, client: Client, read_page: ReadPage) -> None:
        self._client = client
        self._read_page = read_page

    async def deliver(self, destination: Destination, blob: Blob, write: Write) -> Delivery:
        """Upload through the form. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused, and as ``read_page``."""
        upload = _Upload(self._client, self._read_page, destination, blob, write)
        answer = await upload.through_page()
        if answer.status >= 500 and write.state == "placeholder":
            answer = await upload.through_page()
        if not http.is_good(answer.status) and answer.status not in confirmation.REDIRECTS:
            raise http.refused_write(answer.url, answer)
        return Delivery(is_verified=False)

    async def delete(self, _destination: Destination, _write: Write) -> None:
        hint = ("use another ", FieldRef(("on_failure",)))
        raise DeliveryFailed("An upload form cannot delete what it took", hint)


class _Upload:
    """One write through a form. Its deadline covers both tries of a placeholder."""

    def __init__(self, client: Client, read_page: ReadPage, destination: Destination, blob: Blob, write: Write) -> None:
        self._client = client
        self._read_page = read_page
        self._destination = destination
        self._blob = blob
        self._write = write
        self._deadline = asyncio.get_running_loop().time() + write.timeout_s

    async def through_page(self) -> Answer:
        """The answer to the post, or the page's own 5xx. Raises DeliveryFailed where the answer shows a refusal."""
        session = Session()
        page = await self._get(session, self._destination.url)
        if page.status >= 500:
            return page
        seen = await self._seen(page)
        order = self._order(page, seen)
        answer = await self._send(session, order)
        if answer.status in http.REPEATS:
            again = location.with_login_of(self._destination.url, http.repeat_target(order.url, answer))
            headers = form.sender(page.url, again) if order.headers else ()
            answer = await self._send(session, msgspec.structs.replace(order, url=again, headers=headers))
        await self._confirm(session, seen, answer)
        return answer

    async def _seen(self, page: Answer) -> _Seen:
        if not http.is_good(page.status) or not _is_html(page):
            return _Seen(page.url, None)
        if page.is_cut:
            hint = ("point ", DESTINATION, " at the form")
            raise DeliveryFailed(f"The upload page is larger than {_PAGE_LIMIT_BYTES} bytes", hint)
        return _Seen(page.url, await self._contents(page))

    def _order(self, page: Answer, seen: _Seen) -> Post:
        """The post: the page's form, or the bare file where there is no form at all."""
        destination, media_type = self._destination, self._write.media_type
        is_led = form.is_elsewhere(destination.url, page.url)
        if is_led and 400 <= page.status < 500:
            raise confirmation.no_page(destination, page)
        if seen.contents is None or not seen.contents.has_form:
            return form.bare(page.url, destination, media_type)
        found = seen.contents.form_with(destination.field)
        if found is None:
            raise confirmation.no_field(destination, seen.contents, page.url if is_led else "")
        return form.filled(page.url, seen.contents, found, destination, media_type)

    async def _confirm(self, session: Session, seen: _Seen, answer: Answer) -> None:
        """Raises DeliveryFailed where an answer that counts as success shows that nothing was taken."""
        if answer.status in confirmation.REDIRECTS:
            led = await self._led(session, seen, answer)
            if led is not None and led.contents is not None and led.contents.has_password:
                raise confirmation.wants_password(self._destination, led.url)
        elif http.is_good(answer.status):
            confirmation.check_success(self._destination, answer)
            shown = await self._shown(answer) if answer.status == 200 else None
            if shown is not None and (doubt := confirmation.doubt(self._destination, shown, seen.contents)):
                detail = f"taken, not confirmed: {doubt}"
                logs.event("form_taken", detail=detail, host=str(location.origin(answer.url)), state=self._write.state)

    async def _led(self, session: Session, seen: _Seen, answer: Answer) -> _Seen | None:
        """The page that the answer redirects to; None where it cannot be had, for the answer counts without it."""
        try:
            target = http.repeat_target(answer.url, answer)
            if not form.is_elsewhere(target, seen.url):
                return seen
            page = await self._get(session, location.with_login_of(self._destination.url, target))
            return _Seen(page.url, await self._shown(page))
        except ImgserveError as error:
            _note_unseen(error)
            return None

    async def _shown(self, answer: Answer) -> Page | None:
        """The page in an answer's body; None if it is no HTML or cannot be read."""
        if not http.is_good(answer.status) or answer.is_cut or not answer.body or not _is_html(answer):
            return None
        try:
            return await self._contents(answer)
        except ImgserveError as error:
            _note_unseen(error)
            return None

    async def _contents(self, page: Answer) -> Page:
        return await self._read_page(page.body, page.media_type, self._write, http.time_left(self._deadline))

    async def _get(self, session: Session, url: str) -> Answer:
        call = Call(
            method="GET",
            url=url,
            timeout_s=http.time_left(self._deadline),
            headers=(http.AGENT, http.PLAIN, "Accept: text/html,*/*;q=0.5"),
            body_limit_bytes=_PAGE_LIMIT_BYTES,
            decodes=True,
        )
        with delivering():
            return await follow.get(self._client, call, session)

    async def _send(self, session: Session, order: Post) -> Answer:
        call = Call(
            method="POST",
            url=order.url,
            timeout_s=http.time_left(self._deadline),
            headers=(http.AGENT, http.PLAIN, "Expect:", *order.headers, *self._write.http_headers()),
            body=self._blob,
            parts=order.parts,
            body_limit_bytes=_PAGE_LIMIT_BYTES,
            decodes=True,
        )
        with delivering():
            return await self._client.perform(call, session)


def _note_unseen(error: ImgserveError) -> None:
    """The upload was taken, but the page after it could not be read."""
    logs.event("form_unconfirmed", code=error.code, detail=error.detail)


def _is_html(page: Answer) -> bool:
    return "html" in page.media_type.lower() or (not page.media_type and page.body.lstrip(_BEFORE_TAG)[:1] == b"<")
