"""Slow clients as a program, so that what they cost is not paid by those who measure: ``slow_clients PORT COUNT``.

Each sends the start of a request and then a byte a second, all spread over the second, since they know nothing of each
other; one that is ended comes again at once. Says "standing" when all are connected; ends with its standard input, and
says how many connections the server has ended.
"""

import asyncio
import sys
from contextlib import suppress

START = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
JOB = b'{"source": {"upload": "p"}, "outputs": [{"destination": "http://shop.example/a.png"}]}'
UPLOAD = (
    b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    b'--x\r\nContent-Disposition: form-data; name="job"\r\n\r\n%s\r\n'
    b'--x\r\nContent-Disposition: form-data; name="p"; filename="p"\r\n\r\n' % JOB
)
STARTS = (START + b"X-A: ", START + b"Content-Length: 9999\r\n\r\n{", UPLOAD)
BYTE_EVERY_S = 1.0


class Crowd:
    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._count = count
        self._connected = 0
        self._standing = asyncio.Event()
        self.ended = 0

    async def stand(self) -> None:
        clients = [asyncio.create_task(self._client(number)) for number in range(self._count)]
        await self._standing.wait()
        print("standing", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _client(self, number: int) -> None:
        await asyncio.sleep(BYTE_EVERY_S * number / self._count)
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._connected += 1
            if self._connected == self._count:
                self._standing.set()
            with suppress(ConnectionError):
                writer.write(STARTS[number % len(STARTS)])
                await self._trickle(reader, writer)
            self.ended += 1
            writer.close()

    async def _trickle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the server has had enough."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BYTE_EVERY_S):
                    if not await reader.read(4096):
                        return
            writer.write(b"x")
            await writer.drain()


async def main() -> None:
    crowd = Crowd(int(sys.argv[1]), int(sys.argv[2]))
    await crowd.stand()
    print(crowd.ended, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
