"""The settings of transfers. ``problems`` checks them."""

from typing import Annotated

import msgspec

from imgserve.setting import Count, Problem, Seconds, Setting, Text, Texts

DEFAULT_PORTS = ("80", "443", "21", "22", "990", "1024-65535")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``max_per_host`` is per host and port. ``proxy`` may hold a password."""

    # fmt: off
    allow_networks: Annotated[Texts, Setting(
        "allow sources and destinations in this non-public network", name="allow_network", metavar="CIDR")] = ()
    ports: Annotated[Texts, Setting("ports and port ranges that transfers may connect to")] = DEFAULT_PORTS
    read_roots: Annotated[Texts, Setting(
        "allow `file:` sources in this directory", name="read_root", metavar="DIR")] = ()
    write_roots: Annotated[Texts, Setting(
        "allow `file:` destinations in this directory", name="write_root", metavar="DIR")] = ()
    ca_file: Annotated[Text, Setting(
        "certificates (PEM) of further trusted authorities", metavar="FILE")] = ""
    proxy: Annotated[Text, Setting(
        "all transfers but `file:` go through this proxy, which then has to check addresses: `http`, `https`, "
        "`socks5` or `socks5h`, with its port", metavar="URL", is_secret=True)] = ""
    referers: Annotated[Texts, Setting(
        "the Referer header of HTTP requests to a host, as `HOST=URL`; `*.` stands for all hosts of a domain",
        name="referer")] = ()
    connect_timeout_s: Annotated[Seconds, Setting("time to establish a connection", "seconds")] = 5.0
    source_timeout_s: Annotated[Seconds, Setting("time to fetch a source", "seconds")] = 30.0
    low_speed_bytes_s: Annotated[Count, Setting("minimum speed of a transfer", "bytes a second")] = 1024
    low_speed_time_s: Annotated[Count, Setting("a slower transfer is ended after this time", "seconds")] = 10
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
