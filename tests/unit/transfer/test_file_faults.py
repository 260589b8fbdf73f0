"""The faults of files in the words of the system's error numbers, for the sender of a job."""

import errno
import os

import pytest

from imgserve.errors import cause_of, user_name
from imgserve.transfer.faults import DeliveryFailed
from imgserve.transfer.protocols.file import _fault


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EDQUOT])
def test_a_jobs_sender_does_not_learn_the_servers_user(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    error, name = OSError(number, os.strerror(number)), user_name(65534)
    assert f"the user {name}" in cause_of(error)[0]
    fault = _fault(DeliveryFailed, "The file cannot be stored", error)
    assert isinstance(fault, DeliveryFailed)
    assert name not in fault.sentence()
    assert "the server's user" in fault.detail
