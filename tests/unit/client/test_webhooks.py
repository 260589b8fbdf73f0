"""Webhooks at their receiver: signatures of two other libraries are checked, and everything else is refused."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks
import svix

from imgserve.client import AnswerInvalid, SignatureInvalid, verify_webhook
from tests.unit.client.test_answers import FUTURE

SECRET, OTHER = (f"whsec_{base64.b64encode(bytes([byte]) * 32).decode()}" for byte in (1, 2))
JOB = json.loads(FUTURE)


def body_of(**fields: object) -> bytes:
    whole = {"type": "output.delivered", "timestamp": "2027-01-01T12:00:09Z", "data": {"job": JOB, "output": "card"}}
    return json.dumps({**whole, **fields}).encode()


BODY = body_of()


def headers_of(body: bytes, secret: str = SECRET, age_s: float = 0.0) -> dict[str, str]:
    sent_at = datetime.now(UTC) - timedelta(seconds=age_s)
    signature = standardwebhooks.Webhook(secret).sign("msg_1", sent_at, body.decode())
    return {
        "Webhook-Id": "msg_1", "Webhook-Timestamp": str(int(sent_at.timestamp())), "Webhook-Signature": signature,
    }  # fmt: skip


def test_an_event_of_an_output() -> None:
    event = verify_webhook(BODY, headers_of(BODY), SECRET)
    assert (event.id, event.type) == ("msg_1", "output.delivered")
    assert event.timestamp == datetime(2027, 1, 1, 12, 0, 9, tzinfo=UTC)
    assert event.job is not None
    assert event.output == event.job.output("card")


def test_the_signature_of_another_library() -> None:
    sent_at = datetime.now(UTC)
    signature = svix.Webhook(SECRET).sign("msg_2", sent_at, BODY.decode())
    headers = {
        "webhook-id": "msg_2", "webhook-timestamp": str(int(sent_at.timestamp())), "webhook-signature": signature,
    }  # fmt: skip
    assert verify_webhook(BODY, headers, SECRET).id == "msg_2"


def test_one_secret_takes_the_place_of_another() -> None:
    both = {**headers_of(BODY)}
    both["Webhook-Signature"] = f"{headers_of(BODY, OTHER)['Webhook-Signature']} {both['Webhook-Signature']}"
    for secret in (SECRET, OTHER, [SECRET], (OTHER, SECRET)):
        assert verify_webhook(BODY, both, secret).id == "msg_1"
    assert verify_webhook(BODY, headers_of(BODY, OTHER), [SECRET, OTHER]).id == "msg_1"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY.replace(b"delivered", b"failed"), headers_of(BODY)),
        (BODY, headers_of(BODY, OTHER)),
        (BODY, headers_of(BODY, age_s=4000)),
        (BODY, headers_of(BODY, age_s=-4000)),
        (BODY, {}),
        (BODY, {**headers_of(BODY), "Webhook-Id": "msg_2"}),
        (BODY, {**headers_of(BODY), "Webhook-Signature": "v1"}),
        (BODY, {**headers_of(BODY), "Webhook-Signature": "v1,a v1,ä"}),
        (BODY, {**headers_of(BODY), "Webhook-Timestamp": "soon"}),
        (b"\xff", headers_of(BODY)),
    ],
)
def test_a_request_that_is_not_from_the_server(body: bytes, headers: Mapping[str, str]) -> None:
    with pytest.raises(SignatureInvalid):
        verify_webhook(body, headers, SECRET)
    with pytest.raises(SignatureInvalid):
        verify_webhook(body, headers, [])


@pytest.mark.parametrize(
    "secret", ["whsec_", "whsec_hush!", "hush", f"whsec_{'hush' * 4}", SECRET.removeprefix("whsec_")]
)
def test_a_secret_that_cannot_be_one(secret: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        verify_webhook(BODY, headers_of(BODY), [SECRET, secret])
    assert "hush" not in str(caught.value)


def test_events_of_a_later_server() -> None:
    body = body_of(type="job.archived", data={"archive": 7}, level=3)
    event = verify_webhook(body, headers_of(body), SECRET)
    assert (event.type, event.job, event.output) == ("job.archived", None, None)
    strange = b'["signed"]'
    with pytest.raises(AnswerInvalid):
        verify_webhook(strange, headers_of(strange), SECRET)
