"""File descriptors: how the process's limit is divided, and the error when none is left.

A quarter of the limit is for connections, an eighth for each of the two stores of pictures; the rest is for transfers,
workers and the queue. ``lifecycle`` asks at the start.
"""

import errno
import os
import resource

from imgserve.errors import ImgserveError

# An idle connection takes 25 KB of memory: more of them than this are an attack, or want a load balancer.
MOST_CONNECTIONS = 8192
NONE_LEFT = frozenset({errno.EMFILE, errno.ENFILE})


class OutOfDescriptors(ImgserveError):
    """A trouble of the server that passes: no attempt is counted."""

    code = "out_of_descriptors"
    status = 503
    is_retryable = True
    charge = "none"
    overdue_s = 3600.0  # as TransfersBusy
    title = "The server has no file descriptor left"

    def __init__(self) -> None:
        super().__init__("the server has no file descriptor left", "try again later; see LimitNOFILE= or ulimit -n")


def max_connections(limit: int) -> int:
    return min(limit // 4, MOST_CONNECTIONS)


def max_pictures(limit: int) -> int:
    """In each store, however small they are."""
    return limit // 8


def raise_limit() -> int:
    """Raise the limit as far as the system allows. Returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 2**30


def are_used_up() -> bool:
    """Whether not even one more can be opened now."""
    try:
        os.close(os.open("/", os.O_PATH | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in NONE_LEFT
    return False


class needed:
    """Around code that opens a descriptor: turns the OSErrors for too many open files into OutOfDescriptors.

    No generator, since it is entered several times a picture.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError) and error.errno in NONE_LEFT:
            raise OutOfDescriptors from error
