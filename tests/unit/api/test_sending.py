"""Pictures sent from memory: where clients read slowly, those that hold too much of it are hung up on."""

import asyncio
from collections.abc import Callable
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
        self.is_complete = self.is_cut_off = False
        self.scope = {"abort": self.abort, "on_gone": self.when_gone}
        self._tell: Callable[[], object] = bool

    def when_gone(self, tell: Callable[[], object]) -> None:
        self._tell = tell

    def abort(self) -> None:
        """The connection ends a little later."""
        self.is_cut_off = True
        asyncio.get_running_loop().call_soon(self._tell)

    async def send(self, message: dict[str, Any]) -> None:
        if len(self.body) >= self.pieces * SEND_BYTES:
            await self.goes_on.wait()
        self.body += message["body"]
        self.is_complete = not message["more_body"]


def picture(seed: int) -> Blob:
    return Blob.of(bytes([seed]) * SIZE)


async def sent(client: Client, blob: Blob) -> None:
    with blob:
        await send_blob(blob, client.scope, client.send)


@pytest.fixture(autouse=True)
def _room_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MOST_BYTES", 2 * SIZE)
    monkeypatch.setattr(sending, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(sending, "SLOW_S", 0.2)


async def test_the_slowest_client_makes_room() -> None:
    slow, others = Client(1), [Client(0), Client(2)]
    tasks = [asyncio.create_task(sent(slow, picture(0)))]
    await asyncio.sleep(0.05)
    tasks += [asyncio.create_task(sent(client, picture(number))) for number, client in enumerate(others, 1)]
    async with asyncio.timeout(PATIENCE_S):
        await tasks[0]
    assert not any(task.done() for task in tasks[1:])
    for client in others:
        client.goes_on.set()
    await asyncio.gather(*tasks)
    assert [client.is_complete for client in (slow, *others)] == [False, True, True]
    assert [client.is_cut_off for client in (slow, *others)] == [True, False, False]
    assert others[0].body == bytes([1]) * SIZE


async def test_clients_that_read_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SLOW_S", 60.0)
    clients = [Client(1) for _ in range(4)]
    tasks = [asyncio.create_task(sent(client, picture(number))) for number, client in enumerate(clients)]
    await asyncio.sleep(0.05)
    for client in clients:
        client.goes_on.set()
    await asyncio.gather(*tasks)
    assert all(client.is_complete for client in clients)


async def test_one_picture_for_many_counts_once() -> None:
    clients = [Client(1) for _ in range(9)]
    with picture(1) as blob:
        tasks = [asyncio.create_task(sent(client, blob.share())) for client in clients]
        tasks.append(asyncio.create_task(sent(Client(9), picture(2))))
        await asyncio.sleep(0.5)  # more than slow
        for client in clients:
            client.goes_on.set()
        await asyncio.gather(*tasks)
    assert all(client.is_complete for client in clients)
