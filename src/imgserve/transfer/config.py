"""The settings of transfers. Read by ``settings``, used by ``dispatch``; checked in ``problems``."""

import msgspec

DEFAULT_PORTS = ("80", "443", "21", "22", "990", "1024-65535")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Networks are CIDRs, roots directories, ports numbers or ranges; ``max_per_host`` is per host and port.

    ``ca_file`` holds certificates (PEM) of authorities that TLS peers may have beside certifi's. ``proxy`` is a URL and
    may hold a password. ``referers`` are HOST=URL.
    """

    allow_networks: tuple[str, ...] = ()
    ports: tuple[str, ...] = DEFAULT_PORTS
    read_roots: tuple[str, ...] = ()
    write_roots: tuple[str, ...] = ()
    ca_file: str = ""
    proxy: str = ""
    referers: tuple[str, ...] = ()
    connect_timeout_s: float = 5.0
    source_timeout_s: float = 30.0
    low_speed_bytes_s: int = 1024
    low_speed_time_s: int = 10
    max_transfers: int = 64
    max_per_host: int = 8
    max_per_host_ftp: int = 2
    memory_bytes: int = 256_000_000

    def problems(self) -> tuple[str, ...]:
        """One sentence for each value that cannot work; it begins with the field's name and a colon."""
        from imgserve.transfer import problems  # with libcurl: only commands that check all settings load it

        return problems.of(self)

    def __repr__(self) -> str:
        return f"Config(allow_networks={self.allow_networks}, read_roots={self.read_roots})"
