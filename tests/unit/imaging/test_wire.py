"""Packets: whole and broken."""

import os
import socket

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
def test_a_reply_comes_whole_or_not_at_all(reply: Reply) -> None:
    data = wire.packet(reply)
    assert wire.reply_in(data) == reply
    for broken in (*(data[:cut] for cut in range(len(data))), data + b"\0", data * 2):
        with pytest.raises(wire.BrokenPacket):
            wire.reply_in(broken)


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"abc", b"\x80"])
def test_what_is_no_message_is_broken(data: bytes) -> None:
    with pytest.raises(wire.BrokenPacket):
        wire.reply_in(data)


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(wire.BrokenPacket, match="longer"):
        wire.packet(Failed("render_failed", "x" * 70_000))


@pytest.mark.parametrize("length", [200, 65_000, 66_000, 3_000_000])
def test_descriptors_ride_along(length: int) -> None:
    """Also with a request that is longer than a packet."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = DrawRequest(Drawing(Size(1, 1), "png", "#000000", "x" * length), Limits())
    memory = os.memfd_create("test")
    os.write(memory, b"picture")
    with ours, theirs:
        open_before = len(os.listdir("/proc/self/fd"))
        assert wire.send_request(ours, request, [memory])
        assert len(os.listdir("/proc/self/fd")) == open_before
        received = wire.receive_request(theirs)
        assert received is not None
        assert received[0] == request
        assert len(received[1]) == 1
        assert os.pread(received[1][0], 99, 0) == b"picture"
        for descriptor in [memory, *received[1]]:
            os.close(descriptor)
        ours.close()
        assert wire.receive_request(theirs) is None
