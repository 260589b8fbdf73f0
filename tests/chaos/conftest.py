"""The engines over which attacks run: jobs in a file, and in a database that outlives the server."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.postgres import Postgres
from tests.support.postgres_house import empty_queue

# Makes an empty queue and returns its URL, which is itself empty for that of a data directory's file.
NewQueue = Callable[[], str]


@pytest.fixture(scope="module")
def new_database(postgres: Postgres) -> Iterator[NewQueue]:
    """May be called in any thread."""
    turn = threading.Lock()
    with contextlib.ExitStack() as queues:

        def make() -> str:
            with turn:
                return queues.enter_context(empty_queue(postgres))

        yield make


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.full_size)])
def new_queue(request: pytest.FixtureRequest) -> NewQueue:
    make: NewQueue = str if request.param == "sqlite" else request.getfixturevalue("new_database")
    return make
