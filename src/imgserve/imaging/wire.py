"""Messages between parent and worker: packets of msgpack, with descriptors beside them.

A packet is small, for whole pictures travel as descriptors (SCM_RIGHTS), and so do long requests: a recipe may have
thousands of numbers. The sockets are SOCK_SEQPACKET, which keeps messages apart. Both ends use this module: the parent
through ``process.py`` without blocking, the worker with a blocking socket. A packet that cannot be decoded ends the
worker.
"""

import os
import socket

import msgspec

from imgserve.imaging.messages import Reply, Request
from imgserve.request.recipe import MAX_FURTHER

MAX_PACKET_BYTES = 65_536
_MAX_DESCRIPTORS = 3 + MAX_FURTHER  # a long request, source, further pictures, result
_IN_FIRST_DESCRIPTOR = b"\xc1"  # no message: MessagePack never uses this byte

_encode = msgspec.msgpack.Encoder().encode
_REQUESTS: "msgspec.msgpack.Decoder[Request]" = msgspec.msgpack.Decoder(Request)
_REPLIES: "msgspec.msgpack.Decoder[Reply]" = msgspec.msgpack.Decoder(Reply)


class BrokenPacket(Exception):
    """The packet holds no message of ours."""


def packet(message: Reply) -> bytes:
    """Raises BrokenPacket."""
    data = _encode(message)
    if len(data) > MAX_PACKET_BYTES:
        raise BrokenPacket(f"a message of {len(data)} bytes is longer than a packet may be")
    return data


def send_request(connection: socket.socket, request: Request, descriptors: list[int]) -> bool:
    """Send a request with its descriptors. False: the worker does not take it. Raises OSError."""
    data = _encode(request)
    if len(data) <= MAX_PACKET_BYTES:
        return socket.send_fds(connection, [data], descriptors) == len(data)
    memory = os.memfd_create("imgserve-request", os.MFD_CLOEXEC)
    with os.fdopen(memory, "wb") as file:
        file.write(data)
        file.flush()
        return socket.send_fds(connection, [_IN_FIRST_DESCRIPTOR], [memory, *descriptors]) == 1


def reply_in(data: bytes) -> Reply:
    """Raises BrokenPacket."""
    try:
        return _REPLIES.decode(data)
    except msgspec.DecodeError as error:
        raise BrokenPacket(str(error)) from error


def receive_request(connection: socket.socket) -> tuple[Request, list[int]] | None:
    """Wait for the next request and its descriptors, which the caller closes. None: the parent has gone."""
    data, descriptors, _flags, _address = socket.recv_fds(connection, MAX_PACKET_BYTES, _MAX_DESCRIPTORS)
    if data == _IN_FIRST_DESCRIPTOR:
        memory = descriptors.pop(0)
        try:
            data = os.pread(memory, os.fstat(memory).st_size, 0)
        finally:
            os.close(memory)
    return (_REQUESTS.decode(data), descriptors) if data else None
