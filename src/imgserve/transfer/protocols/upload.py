"""HTTP(S) upload forms: get the page, fill in its form, post, judge the answer. Called by ``dispatch``.

``form`` fills in the form, ``confirmation`` judges the answer. The exchanges of one post share a cookie engine. A page
without any form is posted to directly, so that a plain upload endpoint works too.
"""

from typing import NamedTuple

import msgspec
import pycurl

from imgserve.blob import Blob
from imgserve.errors import FieldRef, ImgserveError
from imgserve.request.destination import Destination
from imgserve.request.page import Page
from imgserve.telemetry import logs
from imgserve.transfer.client import location
from imgserve.transfer.client.along import Along
from imgserve.transfer.client.call import Answer, Call, deadline_in, seconds_to
from imgserve.transfer.client.curl import Client
from imgserve.transfer.credentials import Credentials
from imgserve.transfer.faults import USE_REPLACE, CannotAsk, DeliveryFailed, delivering
from imgserve.transfer.protocols import confirmation, form, http
from imgserve.transfer.protocols.form import Post, ReadPage
from imgserve.transfer.write import Delivery, Write

_PAGE_LIMIT_BYTES = 1_000_000
_PAGE_HEADERS = (http.AGENT, http.PLAIN, "Accept: text/html,*/*;q=0.5")
_BEFORE_TAG = b"\xef\xbb\xbf\t\n\f\r "  # a byte order mark, and white space


class Forms:
    """``read_page`` reads upload pages."""

    def __init__(self, client: Client, read_page: ReadPage, credentials: Credentials) -> None:
        self._client = client
        self._credentials = credentials
        self._read_page = read_page

    async def deliver(self, destination: Destination, blob: Blob, write: Write) -> Delivery:
        """Upload through the form.

        Raises DeliveryFailed, DeliveryUnknown, DestinationRefused, CredentialNotAllowed, and as ``read_page``.
        """
        deadline_s, client, read = deadline_in(write.timeout_s), self._client, self._read_page
        along = http.along_with(self._credentials, destination, write)
        for is_last in (write.state != "placeholder", True):
            with client.session() as session:
                answer = await _Upload(client, session, read, destination, blob, write, deadline_s, along).answer()
            if answer.status < 500 or is_last:
                break
        if not http.is_good(answer.status) and answer.status not in confirmation.REDIRECTS:
            raise http.refused_write(answer)
        return Delivery(is_verified=False)

    async def size_of(self, _destination: Destination, _write: Write) -> int | None:
        raise CannotAsk("An upload form does not tell what it has", USE_REPLACE)

    async def delete(self, _destination: Destination, _write: Write) -> None:
        hint = ("use another ", FieldRef(("on_failure",)))
        raise DeliveryFailed("An upload form cannot delete what it took", hint)


class _Upload(NamedTuple):
    """One try of a write."""

    client: Client
    session: pycurl.Curl
    read_page: ReadPage
    destination: Destination
    blob: Blob
    write: Write
    deadline_s: float
    along: Along | None

    async def answer(self) -> Answer:
        """The answer to the post, or the page's own 5xx. Raises DeliveryFailed where the answer shows a refusal."""
        page = await self._get(self.destination.url, self.along)
        if page.status >= 500:
            return page
        contents = await self._contents(page)
        post = self._post(page, contents)
        answer = await self._send(post, page.along)
        if answer.status in http.REPEATS:
            url = location.with_login_of(self.destination.url, http.repeat_target(post.url, answer))
            headers = form.page_headers(page.url, url) if post.headers else ()
            answer = await self._send(msgspec.structs.replace(post, url=url, headers=headers), answer.along)
        if answer.status in confirmation.REDIRECTS:
            await self._check_target(page, contents, answer)
        elif http.is_good(answer.status):
            confirmation.check_success(self.destination, answer)
            await self._check_page(contents, answer)
        return answer

    def _post(self, page: Answer, contents: Page | None) -> Post:
        """The page's form, or the bare file where there is no form at all."""
        destination, media_type = self.destination, self.write.media_type
        is_redirected = form.is_elsewhere(destination.url, page.url)
        if is_redirected and 400 <= page.status < 500:
            raise confirmation.no_page(destination, page)
        if contents is None or not contents.has_form:
            return form.bare_post(page.url, destination, media_type)
        fields = contents.form_with(destination.field)
        if fields is None:
            raise confirmation.no_field(destination, contents, page.url if is_redirected else "")
        return form.filled_post(page.url, contents, fields, destination, media_type)

    async def _check_target(self, page: Answer, contents: Page | None, answer: Answer) -> None:
        """Raises DeliveryFailed for a redirect to a login. The upload counts if that page cannot be read."""
        try:
            url = http.repeat_target(answer.url, answer)
            if form.is_elsewhere(url, page.url):
                target = await self._get(location.with_login_of(self.destination.url, url), answer.along)
                url, contents = target.url, await self._contents(target)
        except ImgserveError as error:
            logs.event("form_unconfirmed", code=error.code, detail=error.detail)
            return
        if contents is not None and contents.has_password:
            raise confirmation.wants_password(self.destination, url)

    async def _check_page(self, upload_page: Page | None, answer: Answer) -> None:
        """Raises DeliveryFailed for a 200 whose page shows a refusal. The upload counts if it cannot be read."""
        try:
            contents = await self._contents(answer) if answer.status == 200 else None
        except ImgserveError as error:
            logs.event("form_unconfirmed", code=error.code, detail=error.detail)
            return
        if contents is not None and (doubt := confirmation.doubt(self.destination, contents, upload_page)):
            detail = f"taken, not confirmed: {doubt}"
            logs.event("form_taken", detail=detail, host=str(location.origin(answer.url)), state=self.write.state)

    async def _contents(self, page: Answer) -> Page | None:
        """None for an error's page, and for anything but HTML. Raises DeliveryFailed, and as ``read_page``."""
        starts_with_tag = page.body.lstrip(_BEFORE_TAG)[:1] == b"<"
        is_html = "html" in page.media_type.lower() or (not page.media_type and starts_with_tag)
        if not http.is_good(page.status) or not page.body or not is_html:
            return None
        if page.is_cut:
            raise DeliveryFailed(f"The page is larger than {_PAGE_LIMIT_BYTES} bytes", confirmation.AT_THE_FORM)
        return await self.read_page(page.body, page.media_type, self.write, seconds_to(self.deadline_s))

    async def _get(self, url: str, along: Along | None) -> Answer:
        """``along``: what went with the request that leads to this one."""
        call = Call(
            method="GET",
            url=url,
            deadline_s=self.deadline_s,
            headers=_PAGE_HEADERS,
            along=along and along.to(url),
            body_limit_bytes=_PAGE_LIMIT_BYTES,
        )
        with delivering:
            return await self.client.get(call, self.session)

    async def _send(self, post: Post, along: Along | None) -> Answer:
        """``along``: what went with the request that leads to this one."""
        call = Call(
            method="POST",
            url=post.url,
            deadline_s=self.deadline_s,
            headers=(http.AGENT, http.PLAIN, http.NO_EXPECT, *post.headers, *self.write.http_headers()),
            along=along and along.to(post.url),
            body=self.blob,
            parts=post.parts,
            body_limit_bytes=_PAGE_LIMIT_BYTES,
        )
        with delivering:
            return await self.client.perform(call, self.session)
