"""Frames between parent and worker: four bytes of length (big endian), then msgpack; descriptors ride along.

A frame is small, for whole pictures travel as descriptors (SCM_RIGHTS). Both ends use this module: the parent through
``process.py`` without blocking, the worker with a blocking socket. A frame that cannot be read ends the worker.
"""

import socket
import struct
from typing import TypeVar

import msgspec

from imgserve.imaging.messages import Reply, Request

MAX_FRAME_BYTES = 65_536
_LENGTH = struct.Struct("!I")
_MAX_DESCRIPTORS = 2
_Message = TypeVar("_Message")

encode_message = msgspec.msgpack.Encoder().encode
REQUESTS: "msgspec.msgpack.Decoder[Request]" = msgspec.msgpack.Decoder(Request)
REPLIES: "msgspec.msgpack.Decoder[Reply]" = msgspec.msgpack.Decoder(Reply)


class BrokenFrame(Exception):
    """The other side said something that is no frame of ours."""


def frame(message: Request | Reply) -> bytes:
    body = encode_message(message)
    if len(body) > MAX_FRAME_BYTES:
        raise BrokenFrame(f"a message of {len(body)} bytes is longer than a frame may be")
    return _LENGTH.pack(len(body)) + body


def take(buffer: bytearray, decoder: "msgspec.msgpack.Decoder[_Message]") -> _Message | None:
    """The first message of ``buffer``, cut off its front; None while it is not all there. Raises BrokenFrame."""
    if len(buffer) < _LENGTH.size:
        return None
    length: int = _LENGTH.unpack_from(buffer)[0]
    if length > MAX_FRAME_BYTES:
        raise BrokenFrame(f"a frame announces {length} bytes")
    end = _LENGTH.size + length
    if len(buffer) < end:
        return None
    body = bytes(buffer[_LENGTH.size : end])
    del buffer[:end]
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise BrokenFrame(str(error)) from error


def receive_request(connection: socket.socket) -> tuple[Request, list[int]] | None:
    """Wait for the next request and its descriptors, which the caller closes. None: the parent has gone."""
    buffer = bytearray()
    descriptors: list[int] = []
    while True:
        data, fresh, _flags, _address = socket.recv_fds(connection, MAX_FRAME_BYTES, _MAX_DESCRIPTORS)
        descriptors += fresh
        if not data:
            return None
        buffer += data
        request = take(buffer, REQUESTS)
        if request is not None:
            return request, descriptors
