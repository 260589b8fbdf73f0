"""Where the queue's database is, and how it is reached."""

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

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


def shown(url: str) -> str:
    """Hosts and name of the database, without anything secret."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "postgresql://"
    hosts = str(given.get("host") or given.get("hostaddr") or "")
    return f"postgresql://{hosts}/{given.get('dbname') or ''}"
