"""Messages between parent and worker: packets of msgpack, with descriptors beside them.

A packet is small, for whole pictures travel as descriptors (SCM_RIGHTS). The sockets are SOCK_SEQPACKET, which keeps
messages apart. Both ends use this module: the parent through ``process.py`` without blocking, the worker with a
blocking socket. A packet that cannot be decoded ends the worker.
"""

import socket

import msgspec

from imgserve.imaging.messages import Reply, Request
from imgserve.request.recipe import MAX_FURTHER

MAX_PACKET_BYTES = 65_536
_MAX_DESCRIPTORS = 2 + MAX_FURTHER  # source, further pictures, result

_encode = msgspec.msgpack.Encoder().encode
_REQUESTS: "msgspec.msgpack.Decoder[Request]" = msgspec.msgpack.Decoder(Request)
_REPLIES: "msgspec.msgpack.Decoder[Reply]" = msgspec.msgpack.Decoder(Reply)


class BrokenPacket(Exception):
    """The packet holds no message of ours."""


def packet(message: Request | Reply) -> bytes:
    data = _encode(message)
    if len(data) > MAX_PACKET_BYTES:
        raise BrokenPacket(f"a message of {len(data)} bytes is longer than a packet may be")
    return data


def reply_in(data: bytes) -> Reply:
    """Raises BrokenPacket."""
    try:
        return _REPLIES.decode(data)
    except msgspec.DecodeError as error:
        raise BrokenPacket(str(error)) from error


def receive_request(connection: socket.socket) -> tuple[Request, list[int]] | None:
    """Wait for the next request and its descriptors, which the caller closes. None: the parent has gone."""
    data, descriptors, _flags, _address = socket.recv_fds(connection, MAX_PACKET_BYTES, _MAX_DESCRIPTORS)
    return (_REQUESTS.decode(data), descriptors) if data else None
