"""Slots: in all, by address, and how often the log tells of those who get none."""

import logging

import pytest

from imgserve.api.config import Config
from imgserve.api.http.slots import LOG_EVERY_S, Slots


def test_slots_in_all_and_by_address() -> None:
    slots = Slots(5, 2)
    first = slots.take("192.0.2.1")
    assert first is not None
    assert slots.take("192.0.2.1")
    assert slots.take("192.0.2.1") is None
    assert slots.take("::ffff:192.0.2.1") is None
    assert slots.take("192.0.2.2")
    first.close()
    first.close()
    assert slots.take("192.0.2.1")
    assert slots.take("192.0.2.1") is None
    assert slots.take("192.0.2.3")
    assert slots.take("192.0.2.4")
    assert slots.take("192.0.2.5") is None, "there are five in all"


def test_this_machine_is_not_counted_by_address_and_a_64_is_one() -> None:
    slots = Slots(100, 1)
    for address in ("127.0.0.1", "127.0.0.1", "127.9.9.9", "::1", "::1", "::ffff:127.0.0.1"):
        assert slots.take(address)
    assert slots.take("2001:db8::1")
    assert slots.take("2001:db8::2:3") is None
    assert slots.take("2001:db8:0:1::1")
    assert slots.take("fe80::1%eth0")
    assert slots.take("fe80::1%eth0") is None


def test_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    slots = Slots(0, 0, lambda: now)
    with caplog.at_level(logging.WARNING, "imgserve"):
        for _ in range(50):
            assert slots.take("192.0.2.1") is None
        now = LOG_EVERY_S - 1
        slots.take("192.0.2.1")
        assert len(caplog.records) == 1
        now = LOG_EVERY_S
        slots.take("192.0.2.9")
    assert len(caplog.records) == 2
    assert "'connections': 51" in caplog.messages[1]
    assert "192.0.2.9" in caplog.messages[1]


@pytest.mark.parametrize(
    ("given", "most", "limits"),
    [((0, 0), 256, (256, 128)), ((50, 0), 256, (50, 25)), ((1000, 600), 256, (256, 256)), ((9, 2), 256, (9, 2)),
     ((1, 0), 256, (1, 1))],
)  # fmt: skip
def test_settings(given: tuple[int, int], most: int, limits: tuple[int, int]) -> None:
    config = Config(max_connections=given[0], max_connections_per_address=given[1])
    assert config.connections(most) == limits
