"""The jobs of the native API in a recording: waiting for a retry, for their time, or for the receiver of a webhook."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from examples.receivers import Behaviour
from PIL import Image

from tests.chaos.lane import Kind, Lane
from tests.chaos.receiving import RED, size_of
from tests.support.daemon import wait_until
from tests.support.hooks import Receiver, event_of
from tests.support.native import Answer, Caller
from tests.support.released import ADDRESS, HOOK, HOOK_PORT, KEYS, HookMessage, NativeJob, NativeOutput
from tests.support.sites import Reply

# Of outputs: no classic job of a recording has such a number.
FIRST_NUMBER = 200
# Within the five minutes that pass before a later version starts, and long after the recording.
NOT_BEFORE = timedelta(minutes=3)
PART = "photo.png"


def refusing() -> Receiver:
    """A receiver of webhooks that wants them later than the recording."""
    return Receiver(lambda _: Reply(503, {"Retry-After": "60"}), ADDRESS.host, HOOK_PORT)


class NativeRecorder:
    """The story. Each method leaves one job that a later version has to go on with."""

    def __init__(self, lane: Lane, hook: Receiver) -> None:
        self.lane = lane
        self.hook = hook
        self._caller = Caller(lane.daemon, KEYS["shop"])
        self._posted: list[NativeJob] = []

    def several(self) -> None:
        """One output is delivered, the others wait for their second attempt. The job's end will be told."""
        job = self._job("several", "held/good-several.png", ("file", "put", "s3"), webhook=f"{HOOK}/several")
        self._refuse_final("several-put")
        job = self._accepted(job, self._caller.submit(job.body))
        bucket = self.lane.place("s3", "several-s3")
        self.lane.refuse_once(bucket)
        self.lane.sources.release("good-several.png")
        self._until(job, [("delivered", 0), ("placeholder", 1), ("placeholder", 1)])
        self.lane.heal(bucket)

    def told(self) -> None:
        """Its two ends were told to a receiver that refused them."""
        webhook = {"url": f"{HOOK}/told", "events": ["output.delivered", "job.succeeded"]}
        job = self._job("told", "plain/good.png", ("put",), webhook=webhook)
        self._accepted(job, self._caller.submit(job.body))
        wait_until(lambda: sorted(self._refused()) == [("pending", 1), ("pending", 1)])

    def uploaded(self) -> None:
        """Its picture is a file of the server until the second attempt."""
        job = self._job("uploaded", {"upload": PART}, ("put",), repeat_key="upload-7")
        self._refuse_final("uploaded-put")
        answer = self._caller.upload(job.body, (PART, picture()), Idempotency_Key=job.repeat_key)
        self._until(self._accepted(job, answer), [("placeholder", 1)])

    def later(self) -> None:
        """Its placeholder lies there; its time comes after the recording."""
        not_before = (datetime.now(UTC) + NOT_BEFORE).isoformat(timespec="seconds")
        job = self._job("later", "plain/good.png", ("file",), repeat_key="later-7", not_before=not_before)
        self._accepted(job, self._caller.submit(job.body, Idempotency_Key=job.repeat_key))

    def jobs(self) -> tuple[NativeJob, ...]:
        """As the queue has them now; the server may have ended."""
        return tuple(self._as_stored(job) for job in self._posted)

    def messages(self) -> tuple[HookMessage, ...]:
        names = {job.id: job.name for job in self._posted}
        return tuple(
            HookMessage(names[event_of(post)["data"]["job"]["id"]], post.headers["webhook-id"], post.body.decode())
            for post in self.hook.posts()
        )

    def objects(self) -> dict[str, dict[str, str]]:
        """With what imgserve has written to their headers."""
        assert self.lane.store is not None
        found = {key: self.lane.store.get(key) for key in self.lane.store.names()}
        return {
            key: {name: value for name, value in one.headers.items() if name.startswith("x-amz-meta-")}
            for key, one in found.items()
            if one is not None
        }

    def _job(
        self, name: str, source: str | dict[str, str], kinds: tuple[Kind, ...], repeat_key: str = "", **extra: object
    ) -> NativeJob:
        first = FIRST_NUMBER + sum(len(job.outputs) for job in self._posted)
        outputs = tuple(NativeOutput(f"{name}-{kind}", kind, first + index) for index, kind in enumerate(kinds))
        body: dict[str, Any] = {
            "source": f"{self.lane.sources.url}/{source}" if isinstance(source, str) else source,
            "outputs": [self._output(output) for output in outputs],
            **extra,
        }
        return NativeJob(name, body, outputs, repeat_key)

    def _output(self, output: NativeOutput) -> dict[str, object]:
        place = self.lane.posted[output.number] = self.lane.place(output.kind, output.name)
        width, height = size_of(output.number)
        return {
            "name": output.name,
            "operations": [{"operation": "resize", "width": width, "height": height}],
            "destination": {"url": place.url, "method": "PUT"} if output.kind == "put" else place.url,
            "placeholder": {"style": "text", "color": "#e0e000"},
        }

    def _accepted(self, job: NativeJob, answer: Answer) -> NativeJob:
        assert answer.status == 202, answer
        job = msgspec.structs.replace(job, id=answer.body["id"])
        self._posted.append(job)
        return job

    def _until(self, job: NativeJob, states: list[tuple[str, int]]) -> None:
        """Outputs in these states, with so many failed attempts, and the job between two attempts."""

        def is_so() -> bool:
            shown = self._caller.job(job.id)
            failed = [(one["status"], one["attempts"] - (one["status"] == "delivered")) for one in shown["outputs"]]
            return shown["status"] == "queued" and failed == states

        wait_until(is_so)

    def _refuse_final(self, name: str) -> None:
        """The first one. Placeholders are taken."""
        self.lane.web.behave(f"/{name}", Behaviour(status=503, times=1, kinds=("PUT",), states=("final",)))

    def _refused(self) -> list[tuple[str, int]]:
        return self.lane.stored.select("SELECT state, attempts FROM outbox WHERE kind = 'webhook'")

    def _as_stored(self, job: NativeJob) -> NativeJob:
        rows = self.lane.stored.select(
            "SELECT job.status, output.status FROM output JOIN job ON job.number = output.job"
            f" WHERE job.id = '{job.id}' ORDER BY output.id"
        )
        outputs = tuple(
            msgspec.structs.replace(output, status=status)
            for output, (_, status) in zip(job.outputs, rows, strict=True)
        )
        return msgspec.structs.replace(job, status=rows[0][0], outputs=outputs)


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (200, 150), RED).save(out, "PNG")
    return out.getvalue()
