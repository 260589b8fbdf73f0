"""The database of a queue on PostgreSQL: whether it answers, keeps what it confirms, and lets its user do the work.
Called by ``report``.
"""

from collections.abc import Iterator

from imgserve.cli.check import storage
from imgserve.cli.check.finding import Finding, fault, ok, unknown, warning
from imgserve.errors import counted, spell
from imgserve.jobs import queue_url
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.durability import REMEDY, Durability
from imgserve.jobs.postgres.inspect import Contents, Inspected, Server, inspect
from imgserve.settings.tree import Settings

# The oldest version that the tests run with.
TESTED_VERSION = 150_000
# Of the connections: another server, or an administrator, would soon find none.
NEARLY_FULL = 0.9


def look(settings: Settings) -> Iterator[Finding]:
    config = settings.queue_address
    if config.password and not config.password.text:  # another user's file, or a variable of the server alone
        yield unknown("database", f"{config.shown}: its password is kept from this user", "the server's user")
        return
    address = Address.of(config)
    for about, url in (("database", address.url), ("queue_direct", address.direct)):
        if not url:
            continue
        if queue_url.has_password(url):
            detail = "its password stands in the URL, where a flag shows it to other programs of this machine"
            yield warning(about, detail, "queue_password_file")
        try:
            database = inspect(address, settings.queue.lease_s, is_direct=about == "queue_direct")
        except StorageFailing as error:
            yield fault(about, f"{queue_url.shown(url)}: {error.detail}", spell(error.hint))
            continue
        server = database.server
        yield ok(about, f"{queue_url.shown(url)}: PostgreSQL {server.version}, as {server.user}")
        yield from findings(database, about, has_direct=bool(address.direct))


def findings(database: Inspected, about: str, *, has_direct: bool = False) -> Iterator[Finding]:
    server = database.server
    if database.is_pooled and (about == "queue_direct" or not has_direct):
        detail = "a pooler answers; notifications and prepared statements need a session of the database itself"
        yield warning(about, detail, "queue_direct, the URL of the database without the pooler")
    if server.version_number < TESTED_VERSION:
        detail = f"PostgreSQL {server.version} is older than what imgserve is tested with"
        yield warning(about, detail, "use 15 or newer")
    if server.encoding != "UTF8":
        detail = f"the database has the encoding {server.encoding}"
        yield fault(about, detail, "create it with ENCODING 'UTF8' TEMPLATE template0")
    if not database.is_private:
        detail = "jobs with passwords travel to the database unencrypted"
        yield warning(about, detail, "sslmode=verify-full in its URL")
    if about == "database":
        yield _durability(database.durability)
        yield _connections(server)
        yield _rights(database)
        yield from _contents(database.contents)


def _durability(durability: Durability) -> Finding:
    if durability.weakness:
        return fault("durability", durability.weakness, REMEDY)
    return ok("durability", f"synchronous_commit is {durability.synchronous_commit}")


def _connections(server: Server) -> Finding:
    detail = f"{server.connections} of {server.max_connections} are in use"
    if server.connections > server.max_connections * NEARLY_FULL:
        return warning("connections", detail, "raise max_connections, or put PgBouncer in front")
    return ok("connections", detail)


def _rights(database: Inspected) -> Finding:
    user = database.server.user
    if database.denied:
        detail = f"{user} may not read and change the tables {', '.join(database.denied)}"
        return fault("rights", detail, f"make {user} the owner of the tables, or a member of the owner")
    if not database.server.can_create:
        detail = f"{user} may not create tables, as the first start and upgrades do"
        return fault("rights", detail, f"make {user} the owner of the database")
    return ok("rights", f"{user} may change and create tables")


def _contents(contents: Contents | None) -> Iterator[Finding]:
    if contents is None:
        return
    known = contents.newest_schema
    if contents.oldest > known:
        detail = f"it has schema {contents.schema}, and programs older than {contents.oldest} may not work with it"
        yield fault("schema", f"{detail}; this imgserve knows {known}", "use a newer imgserve")
    elif contents.schema < known:
        yield ok("schema", f"it has schema {contents.schema}; the next start brings it to {known}")
    else:
        yield ok("schema", f"it has schema {contents.schema}")
    if contents.counts is not None:
        alive = [node for node in contents.nodes if node.is_alive]
        yield ok("nodes", f"{counted(len(alive), 'server')} at work")
        is_served = any(node.role != "api" for node in alive)
        yield from storage.jobs(contents.counts, is_served=is_served)
