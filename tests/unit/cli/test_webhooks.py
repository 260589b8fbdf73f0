"""The receiver of ``imgserve webhooks listen``."""

import socket
import threading

import pytest
from standardwebhooks import Webhook

from imgserve.cli import webhooks
from tests.support.sizes import PATIENCE_S


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"])
def test_a_sender_that_goes_on_with_nothing_is_left(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert webhooks._Request.timeout == webhooks.IDLE_S < PATIENCE_S
    monkeypatch.setattr(webhooks._Request, "timeout", 0.1)
    with webhooks._Receiver(0, Webhook("whsec_" + "c2VjcmV0" * 4), is_json=False) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        try:
            with socket.create_connection(("127.0.0.1", receiver.server_port), PATIENCE_S) as connection:
                connection.sendall(sent)
                assert connection.recv(100) == b""
        finally:
            receiver.shutdown()
            thread.join()
