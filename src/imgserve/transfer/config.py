"""The settings of transfers. ``problems`` checks them."""

from typing import Annotated

import msgspec

from imgserve.setting import Count, Problem, Seconds, Setting, Text, Texts

DEFAULT_PORTS = ("80", "443", "21", "22", "990", "1024-65535")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``max_per_host`` is per host and port. ``proxy`` may hold a password."""

    # fmt: off
    allow_networks: Annotated[Texts, Setting(
        "opens a network that is not public to sources and destinations", name="allow_network", metavar="CIDR")] = ()
    ports: Annotated[Texts, Setting("ports and ranges of ports that transfers may connect to")] = DEFAULT_PORTS
    read_roots: Annotated[Texts, Setting("opens a directory to `file:` sources", name="read_root", metavar="DIR")] = ()
    write_roots: Annotated[Texts, Setting(
        "opens a directory to `file:` destinations", name="write_root", metavar="DIR")] = ()
    ca_file: Annotated[Text, Setting(
        "certificates (PEM) of authorities that are trusted beside the usual ones", metavar="FILE")] = ""
    proxy: Annotated[Text, Setting(
        "all transfers but `file:` go through this proxy, which then has to check addresses: `http`, `https`, "
        "`socks5` or `socks5h`, with its port", metavar="URL", is_secret=True)] = ""
    referers: Annotated[Texts, Setting(
        "the Referer header of HTTP requests to a host, as `HOST=URL`; `*.` stands for all hosts of a domain",
        name="referer")] = ()
    connect_timeout_s: Annotated[Seconds, Setting("time to establish a connection", "seconds")] = 5.0
    source_timeout_s: Annotated[Seconds, Setting("time to fetch a source", "seconds")] = 30.0
    low_speed_bytes_s: Annotated[Count, Setting("a transfer slower than this is ended", "bytes a second")] = 1024
    low_speed_time_s: Annotated[Count, Setting("how long it may be so slow", "seconds")] = 10
    max_transfers: Annotated[Count, Setting("concurrent transfers")] = 64
    max_per_host: Annotated[Count, Setting("those to one host and port", name="max_transfers_per_host")] = 8
    max_per_host_ftp: Annotated[Count, Setting("those to one FTP server", name="max_transfers_per_ftp_host")] = 2
    memory_bytes: Annotated[Count, Setting(
        "memory for sources; jobs wait while all of it is in use", "bytes", name="source_memory_bytes")] = 256_000_000
    # fmt: on

    def problems(self) -> tuple[Problem, ...]:
        from imgserve.transfer import problems  # it loads libcurl, which few commands need

        return tuple(problems.problems_of(self))

    def __repr__(self) -> str:
        return f"Config(allow_networks={self.allow_networks}, read_roots={self.read_roots})"
