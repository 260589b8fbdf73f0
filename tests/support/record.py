"""Records the queue of a release: jobs in every state, each kind of destination, ended by a kill.

    python -m tests.support.record

It runs the imgserve of this checkout against real receivers and leaves what a later version has to go on with in
tests/support/data/VERSION: the queue as the killed server left it, what lay at the destinations, and jobs.json. Then
it does the same with a queue in PostgreSQL, of which it leaves a dump, in tests/support/data/VERSION/postgresql: in a
few seconds, since the upgrade test does it too.
"""

import json
import shutil
import threading
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec
from examples.receivers import Behaviour

from tests.chaos.judge import Entry
from tests.chaos.lane import KINDS, Kind, Lane, Place
from tests.support.daemon import Reply, wait_until
from tests.support.dumps import dump
from tests.support.operating import ask
from tests.support.postgres import Postgres
from tests.support.record_native import PART, NativeRecorder, picture, refusing
from tests.support.released import DATA, DUMP, KEPT, KEYS, TOP, Job, Record, place, released_lane

IMPATIENT = {"outbox_deadline_s": 0.5, "retry_delay_s": 0.2}
# What fails waits until long after the recording.
PATIENT = {"retry_delay_s": 60, "repeat_after_s": 60, "placeholder_timeout_s": 4}
REFUSED = Behaviour(status=503, kinds=("PUT", "POST"))
SILENT = Behaviour(never=True, kinds=("PUT", "POST"))


class Recorder:
    """The story. Each method leaves jobs in one state and notes how they must end."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.jobs: list[Job] = []

    def post(
        self, name: str, kind: Kind, source: str, *, at: Place | None = None, key: str = "shop", **extra: object
    ) -> Job:
        """The reply must be good; ``ends`` and ``shows`` are those of a job whose final arrives."""
        job = self._request(name, kind, source, at, key, extra)
        reply = self.lane.post(job.body, KEYS[key])
        assert reply is not None, name
        assert "dstURL" in reply.body, (name, reply.body)
        return self._note(msgspec.structs.replace(job, id=reply.headers["x-imgserve-job"]))

    def _request(self, name: str, kind: Kind, source: str, at: Place | None, key: str, extra: dict[str, object]) -> Job:
        number = len(self.jobs) + 1
        body = self.lane.job(number, at or self.lane.place(kind, name), source) | extra
        return Job(name, kind, number, key, "", body, "", "succeeded", ("final", number))

    def _note(self, job: Job) -> Job:
        self.jobs.append(job)
        return job

    def change(self, job: Job, **what: object) -> None:
        self.jobs[job.number - 1] = msgspec.structs.replace(self.jobs[job.number - 1], **what)

    def entry(self, job: Job) -> Entry:
        [entry] = self.lane.entries([job.number])
        return entry

    def until(self, job: Job, state: str) -> None:
        wait_until(lambda: state_of(self.entry(job)) == state)

    def place_of(self, job: Job) -> Place:
        return self.lane.posted[job.number]

    def prefix(self, job: Job) -> str:
        return "/take" if job.kind == "form" else f"/{self.place_of(job).name}"

    # Before the last start

    def given_up(self) -> None:
        for kind in ("put", "form"):
            job = self.post(f"given-up-{kind}", kind, f"held/broken-given-up-{kind}.png")
            self.lane.web.behave(self.prefix(job), REFUSED)
            self.lane.sources.release(f"broken-given-up-{kind}.png")
            self.until(job, "failed abandoned")
            self.lane.web.behave(self.prefix(job), Behaviour(times=0))
            self.change(job, ends="failed", shows=("placeholder", job.number))

    # While the last server runs

    def ended(self) -> None:
        for kind in KINDS:
            self.post(f"succeeded-{kind}", kind, "plain/good.png", key="blog")
            job = self.post(f"done-{kind}", kind, "plain/broken.png")
            self.until(job, "failed done")
            self.change(job, ends="failed", shows=("failed", job.number))
        self.post("no-placeholder-ftp", "ftp", "plain/good.png", placeholder="none")
        kept = self.post("kept-put", "put", "plain/broken.png", on_failure="keep_placeholder")
        self.change(kept, ends="failed", shows=("placeholder", kept.number))
        for kind in ("file", "ftp", "put"):
            deleted = self.post(f"deleted-{kind}", kind, "plain/broken.png", on_failure="delete")
            self.until(deleted, "failed done")
            self.change(deleted, ends="failed", shows=None)

    def superseded(self) -> None:
        for kind in ("file", "ftp", "put"):
            older = self.post(f"older-{kind}", kind, f"held/good-older-{kind}.png")
            newer = self.post(f"newer-{kind}", kind, "plain/good.png", at=self.place_of(older))
            self.lane.sources.release(f"good-older-{kind}.png")
            self.until(older, "superseded none")
            self.change(older, ends="superseded", shows=("final", newer.number))

    def overtaken(self) -> None:
        older = self._owed("overtaken-put", "put", "held/broken-overtaken.png")
        self.lane.web.behave(self.prefix(older), Behaviour(times=0))
        newer = self.post("overtaking-put", "put", "plain/good.png", at=self.place_of(older))
        self.until(older, "failed none")
        self.change(older, shows=("final", newer.number))

    def owed(self) -> None:
        for kind in KINDS:
            self._owed(f"owed-{kind}", kind, f"held/broken-owed-{kind}.png")
        self._owed("owed-deletion-put", "put", "held/broken-deletion.png", on_failure="delete")
        last = self.jobs[-1]
        self.change(last, shows=None)

    def _owed(self, name: str, kind: Kind, source: str, **extra: object) -> Job:
        job = self.post(name, kind, source, at=None, key="shop", **extra)
        self._refuse(job)
        self.lane.sources.release(source.partition("/")[2])
        self.until(job, "failed pending")
        wait_until(lambda: self.entry(job).outbox_attempts == 1)
        self._heal(job)
        self.change(job, ends="failed", shows=("failed", job.number))
        return job

    def _refuse(self, job: Job) -> None:
        if job.kind == "put":
            self.lane.web.behave(self.prefix(job), Behaviour(status=503, kinds=("PUT", "DELETE")))
        else:
            self.lane.refuse_once(self.place_of(job))

    def _heal(self, job: Job) -> None:
        self.lane.heal(self.place_of(job))
        if job.kind == "put" and not job.name.startswith("overtaken"):
            self.lane.web.behave(self.prefix(job), Behaviour(times=0))

    def cancelled(self) -> None:
        job = self.post("cancelled-put", "put", "held/good-cancelled.png")
        self._refuse(job)
        ask(self.lane.daemon.data_dir, "POST", f"/v1/jobs/{job.id}/cancel")
        self.until(job, "cancelled pending")
        self.lane.sources.release("good-cancelled.png")
        wait_until(lambda: self.entry(job).outbox_attempts == 1)
        self._heal(job)
        self.change(job, ends="cancelled", shows=("failed", job.number))

    def waiting(self) -> None:
        """For a second attempt. A file's faults do not heal by themselves."""
        for kind in KINDS[1:]:
            job = self.post(f"retried-{kind}", kind, f"held/good-retried-{kind}.png", key="blog")
            self.lane.refuse_once(self.place_of(job))
            self.lane.sources.release(f"good-retried-{kind}.png")
            wait_until(partial(self._waits_again, job))
            self.lane.heal(self.place_of(job))

    def repeated(self) -> None:
        """It waits for the repeat that follows an unanswered placeholder."""
        self.lane.web.behave("/repeated-put", Behaviour(never=True, times=1, kinds=("PUT",)))
        job = self.post("repeated-put", "put", "plain/good.png")
        wait_until(partial(self._has_sent, job))
        self.until(job, "queued none")

    def _waits_again(self, job: Job) -> bool:
        return (self.entry(job).status, self.entry(job).attempts) == ("queued", 1)

    def _has_sent(self, job: Job) -> bool:
        return any(write.kind == "final" for write in self.lane.writes_to(self.place_of(job)))

    def under_way(self) -> None:
        for kind in ("put", "form"):
            job = self.post(f"sending-{kind}", kind, f"held/good-sending-{kind}.png")
            self.lane.web.behave(self.prefix(job), SILENT)
            self.lane.sources.release(f"good-sending-{kind}.png")
            self.until(job, "running none")
            wait_until(partial(self._has_sent, job))
        for slow in ("file", "ftp"):
            job = self.post(f"fetching-{slow}", slow, f"held/good-fetching-{slow}.png")
            self.until(job, "running none")

    def unanswered(self) -> None:
        """The last one's placeholder is where the server dies."""
        self.lane.web.behave("/unanswered-put", SILENT)
        posts = [threading.Thread(target=self._unanswered, args=("put", "blog"))]
        posts[0].start()
        wait_until(lambda: len(self.lane.entries([len(self.jobs)])) == 1)
        self.lane.arm("placeholder_sent")
        self._unanswered("file", "shop")
        status = self.lane.daemon.wait()
        assert status == 137, status
        posts[0].join()

    def _unanswered(self, kind: Kind, key: str) -> None:
        job = self._note(self._request(f"unanswered-{kind}", kind, "plain/good.png", None, key, {}))
        self.change(job, is_adopted=True)
        reply: Reply | None = self.lane.post(job.body, KEYS[key])
        assert reply is None, reply


def state_of(entry: Entry) -> str:
    return f"{entry.status} {entry.outbox}"


def recorded(target: Path, server: Postgres | None = None) -> Record:
    """The recording that is now in ``target``, of a queue in a database of ``server`` if there is one."""
    database = "" if server is None else server.database()
    with place() as top:
        queue = "" if server is None else server.url(database)
        lane = released_lane(top, queue, **(IMPATIENT if server is None else PATIENT))
        with refusing() as hook, lane:
            recorder, natives = Recorder(lane), NativeRecorder(lane, hook)
            if server is None:
                recorder.given_up()
                lane.daemon.stop()
                del lane.daemon.switches["outbox_deadline_s"]
                lane.daemon.switches |= PATIENT
                lane.daemon.start()
            recorder.ended()
            recorder.superseded()
            recorder.overtaken()
            natives.several()
            natives.uploaded()
            natives.later()
            if server is None:
                lane.daemon.stop()  # so that the write-ahead log which is kept is a short one
                lane.daemon.start()
            recorder.owed()
            recorder.cancelled()
            recorder.waiting()
            if server is None:
                recorder.repeated()
            natives.told()
            recorder.under_way()
            recorder.unanswered()
            recorded_at = time.time()
            for job in recorder.jobs:
                recorder.change(job, state=state_of(recorder.entry(job)), id=job.id or id_of(lane, recorder.entry(job)))
            record = Record(
                version("imgserve"), recorded_at, tuple(recorder.jobs), natives.jobs(), natives.messages(),
                natives.objects(),
            )  # fmt: skip
        keep(record, target)
    if server is not None:
        shutil.rmtree(target / "data")
        (target / PART).write_bytes(picture())
        dump(server, database, target / DUMP)
        server.drop(database)
    return record


def id_of(lane: Lane, entry: Entry) -> str:
    """Of a job whose poster heard nothing."""
    [(job_id,)] = lane.stored.select(f"SELECT id FROM job WHERE number = {entry.number}")
    return str(job_id)


def keep(record: Record, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in KEPT:
        source = TOP / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("*.sock", "*.log", "*-shm"))
        else:
            shutil.copy2(source, target / name)
    (target / "jobs.json").write_text(json.dumps(msgspec.to_builtins(record), indent=1) + "\n")


def show(record: Record) -> None:
    for job in record.jobs:
        print(f"{job.state:22} {job.name}")
    for native in record.natives:
        print(f"{native.status:22} {native.name}: {', '.join(output.status for output in native.outputs)}")


def main() -> None:
    target = DATA / version("imgserve")
    show(recorded(target))
    with Postgres({"fsync": "off"}) as server:
        show(recorded(target / "postgresql", server))


if __name__ == "__main__":
    main()
