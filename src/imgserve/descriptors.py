"""File descriptors: how the process's limit is divided, and the fault when none is left.

Connections, kept pictures, transfers and workers need some each. ``build`` asks for the shares at the start.
"""

import errno
import os
import resource

import msgspec

from imgserve.errors import ImgserveError

# An idle connection takes 25 KB of memory: more of them than this are an attack, or want a load balancer.
MOST_CONNECTIONS = 8192
NONE_LEFT = frozenset({errno.EMFILE, errno.ENFILE})


class OutOfDescriptors(ImgserveError):
    """Our own trouble, which passes: nothing that a job, its source or its destination is charged with."""

    code = "out_of_descriptors"
    status = 503
    is_retryable = True
    charge = "none"
    overdue_s = 3600.0  # as TransfersBusy
    title = "The server has no file descriptor left"

    def __init__(self) -> None:
        super().__init__("the server has no file descriptor left", "try again later; see LimitNOFILE= or ulimit -n")


class Shares(msgspec.Struct, frozen=True):
    """Most connections to the server, and most pictures in each of the two stores. Half of the limit is kept for
    transfers, workers and the queue."""

    connections: int
    pictures: int


def shares(limit: int) -> Shares:
    return Shares(connections=min(limit // 4, MOST_CONNECTIONS), pictures=limit // 8)


def raise_limit() -> int:
    """Take as many descriptors as the system lets us have: their number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 2**30


def are_used_up() -> bool:
    """Whether not even one more can be had now."""
    try:
        os.close(os.open("/", os.O_PATH | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in NONE_LEFT
    return False


class _Needed:
    """Several times a picture, so no generator."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError) and error.errno in NONE_LEFT:
            raise OutOfDescriptors from error


_NEEDED = _Needed()


def needed() -> _Needed:
    """A block that takes a descriptor: turns the OSErrors for too many open files into OutOfDescriptors."""
    return _NEEDED
