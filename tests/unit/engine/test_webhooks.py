"""When a message to a webhook is tried again, and whose webhook a job has that names none."""

import pytest

from imgserve.engine.config import WebhookConfig
from imgserve.engine.webhooks import DefaultWebhooks, next_step
from imgserve.jobs.model import Message, OutboxEntry, OutboxOutcome
from imgserve.transfer.faults import WebhookFailed, WebhookGone

HOUR_S = 3600.0
START = 1e6
END = START + 24 * HOUR_S
MESSAGE = Message("msg_1", "job.failed", "https://h.test/", (), "", b"{}", "ann")


def entry(failures: int) -> OutboxEntry:
    return OutboxEntry(1, "webhook", 1, "job", 1, failures, END, MESSAGE)


@pytest.mark.parametrize(
    ("failures", "now", "retry_after_s", "outcome"),
    [
        (0, START, None, START + 5),
        (0, START, 2.0, START + 5),
        (0, START, 60.0, START + 60),
        (1, START, None, START + 295),
        (8, END - 4 * HOUR_S, None, END),
        (7, END - 5 * HOUR_S, 6 * HOUR_S, END + HOUR_S),  # its own wait is as long
        (2, END - 3 * HOUR_S, 6 * HOUR_S, END),  # not beyond the time of the last try
        (8, END + HOUR_S, 6 * HOUR_S, END + 5 * HOUR_S),
        (9, END, 60.0, "abandoned"),
    ],
)
def test_the_next_try(failures: int, now: float, retry_after_s: float | None, outcome: OutboxOutcome) -> None:
    error = WebhookFailed("it answered 503", retry_after_s=retry_after_s)
    assert next_step(entry(failures), error, now, 0.5) == pytest.approx(outcome)


def test_each_wait_is_up_to_a_fifth_longer_or_shorter() -> None:
    error = WebhookFailed("it answered 503")
    assert [next_step(entry(2), error, START, jitter) for jitter in (0.0, 1.0)] == pytest.approx(
        [START + 1200, START + 1800]
    )


def test_gone_is_the_end() -> None:
    assert next_step(entry(0), WebhookGone("it answered 410"), START, 0.5) == "gone"


def test_the_default_webhook_of_a_principal() -> None:
    own = WebhookConfig("https://own.example.com/", principals=("ann", "bob"))
    other = WebhookConfig("https://all.example.com/")
    defaults = DefaultWebhooks({"own": own, "all": other})
    urls = [defaults.of(name) for name in ("ann", "bob", "@local")]
    assert [url and url.url for url in urls] == ["https://own.example.com/"] * 2 + ["https://all.example.com/"]
    defaults.replace({})
    assert defaults.of("ann") is None
