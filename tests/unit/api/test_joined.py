"""Heads and bodies of responses as single writes: what reaches the transport, in which order, and when."""

import asyncio

from imgserve.api.http.asgi import new_request_id
from imgserve.api.http.joined import MOST_JOINED, Joined

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Recording(asyncio.Transport):
    """A transport that keeps each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


def joined() -> tuple[Recording, Joined]:
    transport = Recording()
    return transport, Joined(transport, asyncio.get_running_loop(), transport.close)


async def test_a_head_and_a_short_body_are_one_write() -> None:
    transport, response = joined()
    for data in (HEAD, b"body", b"more", b"and more"):
        response.write(data)
    assert transport.writes == [HEAD + b"body", b"more", b"and more"]
    await asyncio.sleep(0)
    assert len(transport.writes) == 3, "the head is sent once"


async def test_a_long_body_is_not_copied() -> None:
    transport, response = joined()
    body = bytes(MOST_JOINED + 1)
    response.write(HEAD)
    response.write(body)
    assert transport.writes == [HEAD, body]


async def test_a_head_whose_body_comes_later_does_not_wait_for_it() -> None:
    transport, response = joined()
    response.write(HEAD)
    assert transport.writes == []
    await asyncio.sleep(0)
    assert transport.writes == [HEAD]
    response.write(b"event")
    assert transport.writes == [HEAD, b"event"]


async def test_a_head_without_a_body_is_sent_before_the_end() -> None:
    transport, response = joined()
    response.write(HEAD)
    response.close()
    assert (transport.writes, response.is_closing()) == ([HEAD], True)
    await asyncio.sleep(0)
    assert transport.writes == [HEAD]


def test_no_two_requests_have_one_id() -> None:
    ids = [new_request_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(len(bytes.fromhex(one.decode())) == 12 for one in ids)


async def test_a_head_whose_client_has_gone_is_dropped() -> None:
    transport, response = joined()
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    response.write(HEAD)
    transport.close()
    await asyncio.sleep(0)
    assert (transport.writes, errors) == ([], [])
