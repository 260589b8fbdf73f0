"""The fault that each failed exchange becomes."""

import pytest

from imgserve.request.classic.codes import NUMBER
from imgserve.transfer.faults import ExchangeFailed, delivery_fault, source_fault


@pytest.mark.parametrize(
    ("failure", "code", "is_retryable", "number", "status"),
    [
        (ExchangeFailed("d", is_refused=True), "source_refused", False, 115, 422),
        (ExchangeFailed("d", is_busy=True), "transfers_busy", True, 301, 503),
        (ExchangeFailed("d", reply=550), "source_not_found", False, 201, 422),
        (ExchangeFailed("d", reply=530), "source_unavailable", False, 201, 422),
        (ExchangeFailed("d", reply=450, is_retryable=True), "source_unavailable", True, 201, 422),
        (ExchangeFailed("d", is_late=True, is_retryable=True), "source_unavailable", True, 201, 422),
    ],
)
def test_of_a_source(failure: ExchangeFailed, code: str, is_retryable: bool, number: int, status: int) -> None:
    fault = source_fault(failure)
    assert (fault.code, fault.is_retryable, fault.status) == (code, is_retryable, status)
    assert NUMBER[fault.code] == number
    assert getattr(fault, "is_late", False) is failure.is_late


def test_the_load_of_the_server_is_no_hosts_fault() -> None:
    faults = [make(ExchangeFailed("d", is_busy=True)) for make in (source_fault, delivery_fault)]
    assert [(fault.code, fault.charge) for fault in faults] == [("transfers_busy", "none")] * 2
