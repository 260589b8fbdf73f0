"""A receiver of webhooks, which keeps what comes and answers as told."""

from collections.abc import Callable
from typing import Any

import msgspec
from standardwebhooks import Webhook as Verifier

from imgserve.setting import Secret
from imgserve.transfer.config import CredentialConfig
from tests.support.sites import Reply, Seen, Site

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW_SECRET = "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
TAKEN = Reply(204, {})


class Receiver(Site):
    """``answer`` is called in the thread of each request."""

    def __init__(
        self, answer: Callable[[Seen], Reply] = lambda _: TAKEN, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.answer = answer
        super().__init__(host, port)

    def reply(self, seen: Seen) -> Reply:
        return self.answer(seen)

    def types(self) -> list[str]:
        """Of the messages, in their order."""
        return [event_of(one)["type"] for one in self.posts()]


def event_of(seen: Seen) -> Any:
    return msgspec.json.decode(seen.body)


def signer(base: str, *secrets: str, principals: tuple[str, ...] = ()) -> CredentialConfig:
    """A credential that signs messages to URLs beneath ``base``."""
    return CredentialConfig("webhook", Secret("\n".join(secrets or (SECRET,))), (base,), principals)


def verify(seen: Seen, secret: str = SECRET) -> Any:
    """The message, as the library of Standard Webhooks verifies it. Raises WebhookVerificationError."""
    return Verifier(secret).verify(seen.body, dict(seen.headers))
