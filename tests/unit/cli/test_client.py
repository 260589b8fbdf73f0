"""The operator's client before a server of another version."""

import socket
import threading
from pathlib import Path

import pytest

from imgserve.api.control_socket import SOCKET_NAME
from imgserve.cli.control import Client, Refused, job_path
from imgserve.jobs.views import OperatorJobView


@pytest.mark.parametrize(
    "answer", [b"200 OK\r\nContent-Length: 2\r\n\r\n{}", b"414 Too Long\r\nContent-Length: 4\r\n\r\nlong"]
)
def test_an_answer_that_cannot_be_read_is_told(tmp_path: Path, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET_NAME))
        listener.listen()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65_536)
                peer.sendall(b"HTTP/1.1 " + answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(Refused, match=f"answers {answer[:3].decode()} with something") as caught:
            Client(tmp_path).get(job_path("1"), OperatorJobView)
        thread.join()
    assert "imgserve that the server was started with" in caught.value.hint
