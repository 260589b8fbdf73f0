"""A small HTTP receiver that can be made to stall, in the test's own event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.support.sizes import PATIENCE_S

LONG_S = PATIENCE_S


class Receiver:
    """Takes PUT and POST; ``stall`` holds answers back until ``go``, all of them or those to one state.

    ``log``: method and state of what came whole, ``bodies`` the bytes.
    """

    def __init__(self) -> None:
        self.port = 0
        self.log: list[str] = []
        self.bodies: list[bytes] = []
        self.cut_off = 0
        self._stalled_state = ""
        self._go = asyncio.Event()
        self._go.set()
        self._came = asyncio.Condition()

    @classmethod
    @contextlib.asynccontextmanager
    async def listening(cls, port: int = 0) -> AsyncIterator["Receiver"]:
        made = cls()
        server = await asyncio.start_server(made.answer, "127.0.0.1", port)
        made.port = server.sockets[0].getsockname()[1]
        async with server:
            yield made
            made.go()

    def stall(self, state: str = "") -> None:
        self._stalled_state = state
        self._go.clear()

    def go(self) -> None:
        self._go.set()

    async def until_came(self, count: int) -> None:
        async with self._came, asyncio.timeout(LONG_S):
            await self._came.wait_for(lambda: len(self.log) >= count)

    async def until_cut_off(self) -> None:
        async with self._came, asyncio.timeout(LONG_S):
            await self._came.wait_for(lambda: self.cut_off > 0)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            body = await reader.readexactly(int(fields.get("content-length", "0")))
            method = head.split(" ", 1)[0]
            if method in ("put", "post"):
                self.bodies.append(body)
                state = fields.get("x-imgserve-state", "")
                await self._note(f"{method} {state}".strip())
                if self._stalled_state in ("", state):
                    await self._stalled(reader)
            status = "404 Not Found" if method in ("get", "head") else "200 OK"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _note(self, line: str) -> None:
        async with self._came:
            self.log.append(line)
            self._came.notify_all()

    async def _stalled(self, reader: asyncio.StreamReader) -> None:
        going, gone = asyncio.create_task(self._go.wait()), asyncio.create_task(reader.read(1))
        await asyncio.wait([going, gone], return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not going.done():
            async with self._came:
                self.cut_off += 1
                self._came.notify_all()
        for task in (going, gone):
            task.cancel()
        await asyncio.gather(going, gone, return_exceptions=True)
