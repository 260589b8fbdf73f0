"""The settings of transfers. ``problems`` checks them."""

from typing import Annotated, Literal

import msgspec

from imgserve.setting import Count, Problem, Seconds, Secret, Setting, Text, Texts

CredentialType = Literal["bearer", "basic", "header", "s3", "webhook"]
Addressing = Literal["path", "virtual"]
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


class CredentialConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What requests to certain URLs carry, or are signed with. Jobs name it; none of them sees it.

    ``urls`` are prefixes, compared by scheme, host, port and path segments. ``principals`` empty: all, while there are
    keys of one principal only. A webhook's secret may be several texts, all of which sign.
    """

    # fmt: off
    type: Annotated[CredentialType, Setting(
        "bearer, basic and header go along with HTTP requests; s3 signs those to a bucket, webhook signs webhooks")]
    secret: Annotated[Secret, Setting(
        "token, password, header's value, secret access key, or secrets of webhooks (`whsec_…`, one a line)",
        is_secret=True)]
    urls: Annotated[Texts, Setting("beginnings of the URLs that it is for; it goes nowhere else", name="for")]
    principals: Annotated[Texts, Setting(
        "names of keys whose jobs may use it; `@get.imgproxy` and the like stand for the mounts",
        default="all, while all keys have one name")] = ()
    public_url: Annotated[Text, Setting(
        "where browsers find what lies at a destination, whose path is added")] = ""
    user: Annotated[Text, Setting("user name, of basic")] = ""
    header: Annotated[Text, Setting("name of the header, of header")] = ""
    access_key_id: Annotated[Text, Setting("of s3")] = ""
    endpoint: Annotated[Text, Setting("URL of the object store, of s3", default="that of AWS")] = ""
    region: Annotated[Text, Setting("of s3", default="`us-east-1`")] = ""
    addressing: Annotated[Addressing | None, Setting(
        "of s3: the bucket's place in requests: in the path, or in the host's name",
        default="path with an endpoint, else virtual")] = None
    is_default: Annotated[bool, Setting(
        "of webhook: signs where a job names no secret; without it the first one that may", name="default")] = False
    # fmt: on

    def problems(self) -> tuple[Problem, ...]:
        from imgserve.transfer import credential_problems  # which imports this module

        return tuple(credential_problems.problems_of(self))
