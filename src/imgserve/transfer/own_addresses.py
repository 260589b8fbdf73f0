"""Tells whether an address is this machine's own, however public it looks. Called by ``guard``, in any thread.

It asks the kernel for the route to the address (rtnetlink(7), RTM_GETROUTE). The kernel knows addresses as they come
and go, secondary ones too, and those that a load balancer passed on.
"""

import socket
import struct
import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

_GET_ROUTE = 26
_REQUEST = 1
_DESTINATION = 1
_LOCAL, _ANYCAST = 2, 4
_HEADER_BYTES = 16  # struct nlmsghdr; struct rtmsg follows, its type is the eighth byte
_TYPE_AT = _HEADER_BYTES + 7
_NEW_ROUTE = 24
_ANSWER_BYTES = 8192
_TIMEOUT_S = 1.0
# An exchange asks twice for the same address. A new address of the machine counts a second later.
_REMEMBERED_S = 1.0


def is_own(address: IPv4Address | IPv6Address, clock: Callable[[], float] = time.monotonic) -> bool:
    return _is_own(address, int(clock() / _REMEMBERED_S))


@lru_cache(maxsize=1024)
def _is_own(address: IPv4Address | IPv6Address, _second: int) -> bool:
    try:
        return _route_type(address) in (_LOCAL, _ANYCAST)
    except OSError:
        return _is_source(address)


def _route_type(address: IPv4Address | IPv6Address) -> int:
    """0 where there is no route. Raises OSError where the kernel refuses the question."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    attribute = struct.pack("=HH", 4 + len(address.packed), _DESTINATION) + address.packed
    body = struct.pack("=BBBBBBBBI", family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0) + attribute
    message = struct.pack("=IHHII", _HEADER_BYTES + len(body), _GET_ROUTE, _REQUEST, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        kernel.send(message)
        answer = kernel.recv(_ANSWER_BYTES)
    is_route = len(answer) > _TYPE_AT and struct.unpack_from("=H", answer, 4)[0] == _NEW_ROUTE
    return answer[_TYPE_AT] if is_route else 0


def _is_source(address: IPv4Address | IPv6Address) -> bool:
    """Whether the kernel would send packets to this address from the same address: true of own primary addresses."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect((str(address), 9))  # sends nothing
            return bool(sender.getsockname()[0] == str(address))
    except OSError:
        return False
