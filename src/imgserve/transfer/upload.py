"""HTTP(S) upload forms: get the page, fill in its form, post. Called by ``dispatch``; the form itself is ``form``'s.

Page and post share a cookie engine and nothing else does. A page without the form is posted to directly, so that a
plain upload endpoint works too.
"""

import asyncio

import msgspec

from imgserve.blob import Blob
from imgserve.spec.destination import Destination
from imgserve.transfer import http, location
from imgserve.transfer.call import Answer, Call, Field, FilePart
from imgserve.transfer.curl import Client, Session
from imgserve.transfer.faults import Broken, DeliveryFailed, delivery_fault
from imgserve.transfer.form import Form, find_form, page_text
from imgserve.transfer.write import Delivery, Write

_PAGE_LIMIT_BYTES = 1_000_000
_DONE = frozenset({301, 302, 303})


class _Post(msgspec.Struct, frozen=True):
    url: str
    field: bytes
    fields: tuple[Field, ...] = ()
    headers: tuple[str, ...] = ()


async def post(client: Client, destination: Destination, blob: Blob, write: Write) -> Delivery:
    """Upload through the form. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
    deadline = asyncio.get_running_loop().time() + write.timeout_s
    answer = await _through_page(client, destination, blob, write, deadline)
    if answer.status >= 500 and write.state == "placeholder":
        answer = await _through_page(client, destination, blob, write, deadline)
    if not http.is_good(answer.status) and answer.status not in _DONE:
        raise http.refused_write(answer.url, answer)
    return Delivery(is_verified=False)


async def _through_page(client: Client, destination: Destination, blob: Blob, write: Write, deadline: float) -> Answer:
    session = Session()
    page = await _page(client, session, destination.url, deadline)
    if page.status >= 500:
        return page
    order = await _filled(page, destination)
    answer = await _send(client, session, order, destination, blob, write, deadline)
    if answer.status in http.REPEATS:
        again = location.with_login_of(destination.url, http.repeat_target(order.url, answer))
        headers = _sender(page.url, again) if order.headers else ()
        order = msgspec.structs.replace(order, url=again, headers=headers)
        answer = await _send(client, session, order, destination, blob, write, deadline)
    return answer


async def _page(client: Client, session: Session, url: str, deadline: float) -> Answer:
    call = Call(
        method="GET",
        url=url,
        timeout_s=http.time_left(deadline),
        headers=(http.AGENT, "Accept: text/html,*/*;q=0.5"),
        body_limit_bytes=_PAGE_LIMIT_BYTES,
        follows_redirects=True,
    )
    try:
        return await client.perform(call, session)
    except Broken as broken:
        raise delivery_fault(broken) from None


async def _filled(page: Answer, destination: Destination) -> _Post:
    """What to post and where: the page's form, or the bare file to the page itself."""
    direct = _Post(destination.url, destination.field.encode())
    if not http.is_good(page.status) or not _is_html(page):
        return direct
    if page.is_cut:
        raise DeliveryFailed(f"The upload page is larger than {_PAGE_LIMIT_BYTES} bytes", "point dstURL at the form")
    form = await asyncio.to_thread(_read, page, destination.field)
    if form is None:
        return direct
    target = _target(page.url, form)
    return _Post(
        url=location.with_login_of(destination.url, target),
        field=form.encoded(destination.field),
        fields=tuple(Field(form.encoded(name), form.encoded(value)) for name, value in form.fields),
        headers=_sender(page.url, target),
    )


def _read(page: Answer, file_field: str) -> Form | None:
    text, charset = page_text(page.body, page.media_type)
    return find_form(text, file_field, charset)


def _sender(page_url: str, target: str) -> tuple[str, ...]:
    """Which page posts, as browsers say it: frameworks refuse a post by https that does not (Django's CSRF check).

    Another origin learns the page's origin only (Referrer Policy, strict-origin-when-cross-origin).
    """
    origin = location.origin_url(page_url)
    is_same = location.origin(page_url) == location.origin(target)
    return f"Origin: {origin}", f"Referer: {location.resolve(page_url, '') if is_same else origin + '/'}"


def _is_html(page: Answer) -> bool:
    return "html" in page.media_type.lower() or (not page.media_type and page.body.lstrip()[:1] == b"<")


def _target(page_url: str, form: Form) -> str:
    try:
        base = location.resolve(page_url, form.base) if form.base else page_url
        target = location.resolve(base, form.action) if form.action else location.resolve(page_url, "")
        is_allowed = location.origin(target).scheme in ("http", "https")
        is_allowed = is_allowed and not location.is_downgrade(page_url, target)
    except ValueError:
        raise DeliveryFailed("The action of the upload form is no URL that can be used") from None
    if not is_allowed:
        raise DeliveryFailed("The upload form's action is not http or https, or leads from https to http")
    return target


async def _send(
    client: Client,
    session: Session,
    order: _Post,
    destination: Destination,
    blob: Blob,
    write: Write,
    deadline: float,
) -> Answer:
    call = Call(
        method="POST",
        url=order.url,
        timeout_s=http.time_left(deadline),
        headers=(http.AGENT, "Expect:", *order.headers, *write.http_headers()),
        body=blob,
        fields=order.fields,
        file=FilePart(order.field, destination.name.encode(), write.media_type),
    )
    try:
        return await client.perform(call, session)
    except Broken as broken:
        raise delivery_fault(broken) from None
