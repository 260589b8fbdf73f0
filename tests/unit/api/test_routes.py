"""Which row of the table a path has."""

import pytest

from imgserve.api.config import Config
from imgserve.api.routes import Routes, table

ROUTES = Routes(table(Config()))


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/", {"GET", "POST"}),
        ("//", set()),
        ("///", set()),
        ("/health", {"GET", "HEAD"}),
        ("/health/", {"GET", "HEAD"}),
        ("/v1/jobs/abc", {"GET"}),
        ("/v1/jobs/abc/cancel", {"POST"}),
        ("/v1/jobs/abc/other", set()),
        ("/nothing", set()),
    ],
)
def test_the_methods_of_a_path(path: str, methods: set[str]) -> None:
    assert set(ROUTES.at(path)) == methods
