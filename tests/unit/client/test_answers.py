"""The client's Structs of answers are the server's, but for what a later server may add."""

from typing import Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest

from imgserve.api.v1.facts import PictureInfo
from imgserve.client import answers
from imgserve.imaging.messages import Dominant, Position
from imgserve.jobs import event_views, model, views

PAIRS: list[tuple[type[msgspec.Struct], type[msgspec.Struct]]] = [
    (answers.Job, views.JobView),
    (answers.JobOutput, views.OutputView),
    (answers.JobSource, views.SourceView),
    (answers.JobError, views.ErrorView),
    (answers.JobWarning, views.WarningView),
    (answers.JobWebhook, views.WebhookView),
    (answers.WebhookTry, event_views.WebhookTry),
    (answers.WebhookDelivery, event_views.WebhookDelivery),
    (answers.WebhookLog, event_views.WebhookLog),
    (answers.TimelineEntry, views.TimelineEntry),
    (answers.JobPage, views.JobList),
    (answers.Facts, PictureInfo),
    (answers.Color, Dominant),
    (answers.Position, Position),
]
FUTURE = b"""{
  "id": "5f3a", "protocol": "v2", "status": "succeeded", "created_at": "2027-01-01T12:00:00.125Z", "not_before": null,
  "deadline_at": "2027-01-02T12:00:00Z", "ended_at": "2027-01-01T12:00:09Z", "superseded_by": null,
  "priority": "urgent", "metadata": {"product": "4711"}, "retries": 0, "cost": {"cpu_ms": 12},
  "source": {"url": null, "format": "jxl", "width": 10.5, "height": 7, "frames": 1, "size_bytes": 9, "depth": 16},
  "outputs": [{"name": "card", "status": "delivered", "destination": "gs://b/a.jxl", "url": null, "width": 1,
    "height": 2, "format": "jxl", "placeholder": "blurred", "size_bytes": 3, "sha256": "00", "attempts": 1,
    "next_attempt_at": null, "delivered_at": "2027-01-01T12:00:09Z", "error": null, "owed": "purge", "etag": "x"}],
  "warnings": [{"path": "outputs[0]", "code": "new", "detail": "d", "more": 1}],
  "webhook": {"url": "https://shop.test/hook", "events": ["job.archived"], "retries": 3},
  "timeline": [{"at": "2027-01-01T12:00:09Z", "output": "card", "event": "output.purged", "code": "x",
    "duration_ms": 5, "host": "h"}]}"""


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].__name__)
def test_the_fields_are_the_servers(pair: tuple[type[msgspec.Struct], type[msgspec.Struct]]) -> None:
    ours, theirs = pair
    assert set(ours.__struct_fields__) == set(theirs.__struct_fields__)


def test_the_statuses_are_the_servers() -> None:
    """They are closed within /v1."""
    assert get_args(answers.JobStatus) == get_args(model.JobStatus)
    assert get_args(answers.OutputStatus) == get_args(model.OutputStatus)


def test_nothing_else_is_closed() -> None:
    closed = {
        f"{struct.__name__}.{name}"
        for struct, _ in PAIRS
        for name, kind in get_type_hints(struct).items()
        if get_origin(kind) is Literal
    }
    assert closed == {"Job.status", "JobOutput.status"}


def test_a_future_job_is_read() -> None:
    job = msgspec.json.decode(FUTURE, type=answers.Job)
    assert (job.protocol, job.priority, job.has_ended, job.source.format) == ("v2", "urgent", True, "jxl")
    assert job.output("card").placeholder == "blurred"
    assert job.webhook is not None
    assert job.webhook.events == ("job.archived",)
    assert [entry.event for entry in job.timeline] == ["output.purged"]
    with pytest.raises(KeyError):
        job.output("0")
