"""Frames: whole, in pieces, and broken."""

import os
import socket
import struct

import pytest

from imgserve.imaging import wire
from imgserve.imaging.messages import Drawing, DrawRequest, Failed, Probed, Ready, Reply, Written
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits


@pytest.mark.parametrize(
    "reply",
    [Ready("landlock+seccomp"), Probed(None), Probed(ImageInfo("svg", 1.5, 2.25)), Written(Size(3, 4), "avif"),
     Failed("svg_invalid", "no", "mend it")],
)  # fmt: skip
def test_a_reply_survives_any_cut(reply: Reply) -> None:
    data = wire.frame(reply)
    for cut in range(len(data)):
        buffer = bytearray(data[:cut])
        assert wire.take(buffer, wire.REPLIES) is None
        buffer += data[cut:]
        assert wire.take(buffer, wire.REPLIES) == reply
        assert not buffer


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", struct.pack("!I", 3) + b"abc", struct.pack("!I", 1) + b"\x80"])
def test_what_is_no_frame_is_broken(data: bytes) -> None:
    with pytest.raises(wire.BrokenFrame):
        wire.take(bytearray(data), wire.REPLIES)


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(wire.BrokenFrame, match="longer"):
        wire.frame(Failed("render_failed", "x" * 70_000))


def test_descriptors_ride_along() -> None:
    ours, theirs = socket.socketpair()
    request = DrawRequest(Drawing(Size(1, 1), "png", "#000000", "x" * 200), Limits())
    memory = os.memfd_create("test")
    os.write(memory, b"picture")
    with ours, theirs:
        socket.send_fds(ours, [wire.frame(request)], [memory])
        received = wire.receive_request(theirs)
        assert received is not None
        assert received[0] == request
        assert os.pread(received[1][0], 99, 0) == b"picture"
        for descriptor in [memory, *received[1]]:
            os.close(descriptor)
        ours.close()
        assert wire.receive_request(theirs) is None
