"""HTTP(S) upload forms: get the page, fill in its form, post. Called by ``dispatch``; the form itself is ``form``'s.

Page and post share a cookie engine and nothing else does. A page without the form is posted to directly, so that a
plain upload endpoint works too.
"""

import asyncio

import msgspec

from imgserve.blob import Blob
from imgserve.spec.destination import Destination
from imgserve.transfer import form, http, location
from imgserve.transfer.call import Answer, Call
from imgserve.transfer.curl import Client, Session
from imgserve.transfer.faults import Broken, DeliveryFailed, delivery_fault
from imgserve.transfer.form import Post, ReadPage
from imgserve.transfer.write import Delivery, Write

_PAGE_LIMIT_BYTES = 1_000_000
_DONE = frozenset({301, 302, 303})


async def post(client: Client, read_page: ReadPage, destination: Destination, blob: Blob, write: Write) -> Delivery:
    """Upload through the form. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused, and as ``read_page``."""
    deadline = asyncio.get_running_loop().time() + write.timeout_s
    answer = await _through_page(client, read_page, destination, blob, write, deadline)
    if answer.status >= 500 and write.state == "placeholder":
        answer = await _through_page(client, read_page, destination, blob, write, deadline)
    if not http.is_good(answer.status) and answer.status not in _DONE:
        raise http.refused_write(answer.url, answer)
    return Delivery(is_verified=False)


async def _through_page(
    client: Client, read_page: ReadPage, destination: Destination, blob: Blob, write: Write, deadline: float
) -> Answer:
    session = Session()
    page = await _page(client, session, destination.url, deadline)
    if page.status >= 500:
        return page
    order = await _order(read_page, page, destination, write, deadline)
    answer = await _send(client, session, order, blob, write, deadline)
    if answer.status in http.REPEATS:
        again = location.with_login_of(destination.url, http.repeat_target(order.url, answer))
        headers = form.sender(page.url, again) if order.headers else ()
        order = msgspec.structs.replace(order, url=again, headers=headers)
        answer = await _send(client, session, order, blob, write, deadline)
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


async def _order(read_page: ReadPage, page: Answer, destination: Destination, write: Write, deadline: float) -> Post:
    """What to post and where: the page's form, or the bare file to the page itself."""
    if not http.is_good(page.status) or not _is_html(page):
        return form.bare(destination, write.media_type)
    if page.is_cut:
        raise DeliveryFailed(f"The upload page is larger than {_PAGE_LIMIT_BYTES} bytes", "point dstURL at the form")
    contents = await read_page(page.body, page.media_type, write, http.time_left(deadline))
    found = contents.form_with(destination.field)
    if found is None:
        return form.bare(destination, write.media_type)
    return form.filled(page.url, contents, found, destination, write.media_type)


def _is_html(page: Answer) -> bool:
    return "html" in page.media_type.lower() or (not page.media_type and page.body.lstrip()[:1] == b"<")


async def _send(client: Client, session: Session, order: Post, blob: Blob, write: Write, deadline: float) -> Answer:
    call = Call(
        method="POST",
        url=order.url,
        timeout_s=http.time_left(deadline),
        headers=(http.AGENT, "Expect:", *order.headers, *write.http_headers()),
        body=blob,
        parts=order.parts,
    )
    try:
        return await client.perform(call, session)
    except Broken as broken:
        raise delivery_fault(broken) from None
