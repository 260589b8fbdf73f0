"""Errors as answers."""

import gc
import weakref
from typing import Any

from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.problems import NoSuchPage, native


class Body:
    """What a request holds."""


async def test_an_answered_error_keeps_nothing_of_its_request() -> None:
    refs = []

    async def refusing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        body = Body()
        refs.append(weakref.ref(body))
        error = NoSuchPage("/x")  # a frame that the error passes has it as a variable
        raise error

    async def receive() -> dict[str, Any]:
        return {}

    statuses = []

    async def send(message: dict[str, Any]) -> None:
        statuses.append(message.get("status", 0))

    gc.disable()
    try:
        await native(refusing)({"request_id": "r"}, receive, send)
        assert [ref() for ref in refs] == [None]
    finally:
        gc.enable()
    assert statuses[0] == 404
