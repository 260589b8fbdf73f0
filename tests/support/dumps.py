"""The queue of a PostgreSQL database as plain SQL, which a later PostgreSQL understands too."""

import shutil
from pathlib import Path

from tests.support.postgres import Postgres, program
from tests.support.postgres_house import SCHEMA

# All columns of this type are times.
SHIFT = """
DO $$
DECLARE place record;
BEGIN
    FOR place IN SELECT table_name AS name, column_name AS field FROM information_schema.columns
            WHERE table_schema = '{schema}' AND data_type = 'double precision' LOOP
        EXECUTE format('UPDATE {schema}.%1$I SET %2$I = %2$I + {by_s}', place.name, place.field);
    END LOOP;
END $$
"""


def dump(server: Postgres, database: str, target: Path) -> None:
    part = server.directory / target.name  # where the server's user may write
    words = ("--schema", SCHEMA, "--no-owner", "--no-privileges", "--file", str(part))
    server.run(program("pg_dump"), *words, server.url(database))
    shutil.copyfile(part, target)
    part.unlink()


def restored(server: Postgres, source: Path, by_s: float) -> str:
    """The URL of a new database with the queue, all of whose times are ``by_s`` seconds later."""
    part = server.directory / source.name
    shutil.copyfile(source, part)
    part.chmod(0o644)
    database = server.database()
    words = ("--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--file", str(part))
    server.run(program("psql"), *words, server.url(database))
    part.unlink()  # the server's user could not write over it
    server.execute(SHIFT.format(schema=SCHEMA, by_s=by_s), database)
    return server.url(database)
