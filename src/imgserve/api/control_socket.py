"""The control socket for both of its ends: its address, the process at the other end, the answers.

Imported by ``control``, ``problems`` and ``v1/server`` in the server and by the commands, so it loads no HTTP server.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from imgserve.engine.cache.stats import CacheStats
from imgserve.request.encode import Format
from imgserve.request.imageinfo import SourceFormat

SOCKET_NAME = "control.sock"
_CREDENTIALS = struct.Struct("3i")  # unix(7), SO_PEERCRED

# The supervisor: none for a daemon; systemd or another program with its protocol; a container in which the server is
# the first process; or the program that started it in the foreground.
StartedAs = Literal["daemon", "systemd", "container", "foreground"]


class Peer(NamedTuple):
    """A process as the kernel names it. ``pid`` 0: it has no number in this namespace, as it may be in a container."""

    pid: int
    uid: int
    gid: int


class FieldFault(msgspec.Struct, frozen=True):
    """One fault of a request, and its field."""

    path: str
    code: str
    detail: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """``type`` and ``code`` are stable; ``detail`` and ``hint`` are for people. ``retryable``: time alone can heal it.

    ``request_id`` is that of the header X-Request-Id. Both are missing in the answers of older servers.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    retryable: bool | None = None
    request_id: str = ""
    errors: tuple[FieldFault, ...] = ()


class QueueView(msgspec.Struct, frozen=True):
    """Jobs that have not ended, the time of the oldest, and the placeholders that failed jobs have left."""

    accepting: int
    queued: int
    running: int
    placeholders_left: int
    oldest_at: datetime | None = None


class RoleView(msgspec.Struct, frozen=True):
    role: str
    idle: int
    busy: int
    missing: int


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A server of the queue, by host and process id. ``running``: the jobs that it is at work on. One that was not
    ``seen_at`` for the time of a lease is not alive, and others take its work over.
    """

    name: str
    role: str
    version: str
    started_at: datetime
    seen_at: datetime
    running: int
    is_alive: bool


class StateView(msgspec.Struct, frozen=True):
    name: str
    severity: str
    detail: str
    hint: str


class Formats(msgspec.Struct, frozen=True):
    """Those of sources, and of results."""

    read: tuple[SourceFormat, ...]
    write: tuple[Format, ...]


class LimitsView(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of these names, in bytes and pixels."""

    max_source_bytes: int
    max_svg_bytes: int
    max_frame_pixels: int
    max_frames: int
    max_total_pixels: int
    max_output_pixels: int
    max_output_side_px: int
    max_job_bytes: int


class QuotaView(msgspec.Struct, frozen=True, kw_only=True):
    """The most jobs that one principal may have waiting, pictures that it may wait for at once, and jobs that it may
    post in a minute; null: any number. ``max_upload_bytes``: of the pictures that its jobs brought.
    """

    max_waiting: int
    max_on_demand: int
    rate_limit_per_minute: int | None
    max_upload_bytes: int = 0


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a principal may do with the server. The defaults are for a server older than the command."""

    version: str = ""
    formats: Formats | None = None
    limits: LimitsView | None = None
    quota: QuotaView | None = None


class ServerView(ServerInfo, frozen=True, kw_only=True):
    """What its operator sees besides. ``address``: the URL for clients; ``workers``: process ids, intake and spare
    included.

    ``drain_s``: how long jobs may finish when the server is stopped. ``queue_url``: where the queue is, without a
    password: ``sqlite``, or the URL of its database. ``status``: the most severe of the ``states``, or
    ``ok``. ``queue`` and ``nodes`` are null when they cannot be read.
    """

    pid: int = 0
    status: str
    states: tuple[StateView, ...] = ()
    address: str
    data_dir: str = ""
    uptime_s: float
    queue: QueueView | None
    workers: tuple[int, ...]
    roles: tuple[RoleView, ...] = ()
    sandbox: str
    started_as: StartedAs = "daemon"
    drain_s: float = 30.0
    role: str = "all"
    queue_url: str = ""
    nodes: tuple[NodeView, ...] | None = None


class CacheView(msgspec.Struct, frozen=True, kw_only=True):
    """The caches of one server. ``mounts`` are the names of its dialects; without any nothing is cached."""

    mounts: tuple[str, ...]
    pictures: CacheStats
    sources: CacheStats


class PurgeView(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures, and the cached sources, that were removed at once on the server that answers. ``deleting``: files
    of further ones are still being deleted; none of them is sent any more.
    """

    purged: int
    sources: int
    deleting: bool


@contextlib.contextmanager
def address_in(data_dir: Path) -> Iterator[str]:
    """The socket's path by a descriptor of its directory: short enough for an address (107 bytes), and right even when
    the directory is renamed. Raises OSError.
    """
    directory = os.open(data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET_NAME}"
    finally:
        os.close(directory)


def peer_of(connection: socket.socket) -> Peer:
    return Peer(*_CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))
