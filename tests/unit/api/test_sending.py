"""Pictures sent from memory: where clients read slowly, those that hold too much of it are hung up on."""

import asyncio
from typing import Any

import pytest

from imgserve.api.http import sending
from imgserve.api.http.sending import SEND_BYTES, send_blob
from imgserve.blob import Blob
from tests.unit.api.test_inlet import PATIENCE_S

SIZE = 3 * SEND_BYTES


class Client:
    """Takes so many pieces at once, and the others when ``goes_on`` is set."""

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces
        self.goes_on = asyncio.Event()
        self.body = b""
        self.is_complete = False

    async def send(self, message: dict[str, Any]) -> None:
        if len(self.body) >= self.pieces * SEND_BYTES:
            await self.goes_on.wait()
        self.body += message["body"]
        self.is_complete = not message["more_body"]


def picture(seed: int) -> Blob:
    return Blob.of(bytes([seed]) * SIZE)


async def sent(client: Client, blob: Blob) -> None:
    with blob:
        await send_blob(blob, client.send)


@pytest.fixture(autouse=True)
def _room_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MOST_BYTES", 2 * SIZE)


async def test_the_slowest_client_makes_room() -> None:
    clients = [Client(2), Client(1), Client(0)]
    tasks = []
    for number, client in enumerate(clients):
        tasks.append(asyncio.create_task(sent(client, picture(number))))
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        await tasks[1]
    assert not tasks[0].done()
    for client in clients:
        client.goes_on.set()
    await asyncio.gather(*tasks)
    assert [client.is_complete for client in clients] == [True, False, True]
    assert clients[0].body == bytes(SIZE)


async def test_one_picture_for_many_counts_once() -> None:
    clients = [Client(1) for _ in range(9)]
    with picture(1) as blob:
        tasks = [asyncio.create_task(sent(client, blob.share())) for client in clients]
        await asyncio.sleep(0)
        one, other = Client(1), Client(3)
        tasks.append(asyncio.create_task(sent(one, picture(2))))
        await asyncio.sleep(0)
        for client in (*clients, one):
            client.goes_on.set()
        await asyncio.gather(*tasks)
        await sent(other, picture(3))
    assert all(client.is_complete for client in (*clients, one, other))


async def test_a_picture_larger_than_all_of_it_is_sent_alone() -> None:
    large, small = Client(1), Client(9)
    with Blob.of(bytes(3 * SIZE)) as blob:
        task = asyncio.create_task(sent(large, blob.share()))
        await asyncio.sleep(0)
        await sent(small, picture(1))
        await task
    assert (large.is_complete, small.is_complete) == (False, True)
    again = Client(9)
    await sent(again, Blob.of(bytes(3 * SIZE)))
    assert again.is_complete
