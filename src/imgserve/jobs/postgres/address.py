"""Where the queue's database is, and how it is reached."""

import msgspec
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from imgserve.jobs.config import AddressConfig
from imgserve.jobs.queue_url import shown

# Seconds until a machine that is gone counts as gone: the kernel's probes of an idle connection, and its patience with
# bytes that nobody confirms.
_NETWORK: dict[str, str | int | None] = {
    "connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}  # fmt: skip


class Address(msgspec.Struct, frozen=True):
    """``url`` for transactions. ``direct``: another one, past the pooler that ``url`` goes through; empty for none.

    libpq reads both: several hosts, ``target_session_attrs``, TLS, ``passfile`` and ``service`` are its parameters.
    """

    url: str
    direct: str = ""
    password: str = ""

    @classmethod
    def of(cls, config: AddressConfig) -> "Address":
        return cls(config.url, config.direct, config.password.text if config.password else "")

    def __repr__(self) -> str:
        return f"Address({shown(self.url)!r})"

    @property
    def is_pooled(self) -> bool:
        return bool(self.direct)

    def conninfo(self, *, is_direct: bool = False) -> str:
        """Raises psycopg.ProgrammingError for a URL that libpq does not read."""
        given = conninfo_to_dict(self.direct if is_direct and self.direct else self.url)
        usual: dict[str, str | int | None] = {
            "application_name": "imgserve",
            "target_session_attrs": "read-write",
            **_NETWORK,
        }
        if self.password:
            usual["password"] = self.password
        return make_conninfo("", **(usual | given))
