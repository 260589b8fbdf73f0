"""One real daemon with real receivers and sources of its own, in which jobs are tried, killed and judged."""

import http.client
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from examples.receivers import Behaviour, FtpReceiver, HttpReceiver

from tests.chaos.bucket import Mirror
from tests.chaos.judge import ENDS, Entry, entries_in, judge
from tests.chaos.receiving import Arrivals, FileWatch, Write, shown, size_of
from tests.chaos.sources import Sources
from tests.chaos.stored import Stored
from tests.support.buckets import ObjectStore
from tests.support.daemon import LOOPBACK, Daemon, Reply, wait_until
from tests.support.operating import ask
from tests.support.sizes import PATIENCE_S

Kind = Literal["file", "ftp", "put", "form", "s3"]
# Without buckets, which only a lane with one has.
KINDS: tuple[Kind, ...] = ("file", "ftp", "put", "form")

# A killed server's bytes arrive within milliseconds here; the waits of real life would only make the tests slow.
QUIET = {"quiet_s": 0.5, "repeat_after_s": 0.3}
# On a slow machine a held download would end by itself before its test goes on, and a job be refused for a placeholder.
UNHURRIED = {"low_speed_time_s": PATIENCE_S, "source_timeout_s": PATIENCE_S, "placeholder_timeout_s": PATIENCE_S}


class Address(NamedTuple):
    """Where a lane's servers listen; port 0 is a free one, and a bucket without a name has one of its own."""

    host: str = "127.0.0.1"
    sources: int = 0
    web: int = 0
    ftp: int = 0
    store: int = 0
    bucket: str = ""


ANYWHERE = Address()


class Place(NamedTuple):
    """A destination: ``name`` is what its receiver calls it, ``path`` where it lies on this machine."""

    kind: Kind
    name: str
    path: Path
    url: str


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


class Lane:
    """``with Lane(directory) as lane``; ``posted`` knows where each job was sent.

    ``has_bucket``: one with a bucket. ``queue``: the URL of a database that has the queue, empty for a file.
    """

    def __init__(
        self,
        root: Path,
        *,
        workers: int = 1,
        extra_sources: Mapping[str, bytes] | None = None,
        switches: Mapping[str, object] | None = None,
        program: tuple[str, ...] = ("-m", "imgserve"),
        address: Address = ANYWHERE,
        has_bucket: bool = False,
        queue: str = "",
    ) -> None:
        self.root = root
        self._roots = {name: root / name for name in ("file", "ftp", "web", "s3")}
        for directory in self._roots.values():
            directory.mkdir(parents=True, exist_ok=True)
        self.sources = Sources(extra_sources, address.host, address.sources)
        self.web = HttpReceiver(self._roots["web"], address.host, address.web)
        self.web.log = self.web_log = Arrivals(self._roots["web"])
        self.ftp = FtpReceiver(self._roots["ftp"], host=address.host, port=address.ftp)
        self.ftp.log = self.ftp_log = Arrivals(self._roots["ftp"])
        self.watch = FileWatch(self._roots["file"])
        self.failpoint = root / "failpoint"
        self.bucket_log = Arrivals(self._roots["s3"])
        self.bucket = Mirror(self._roots["s3"], self.bucket_log)
        self.store: ObjectStore | None = None
        if has_bucket:
            self.store = ObjectStore(self.bucket, host=address.host, port=address.store, bucket=address.bucket)
        self.settings = root / "imgserve.toml"
        self.settings.write_text("" if self.store is None else self.store.settings)
        self._switches: dict[str, object] = {**QUIET, **UNHURRIED, "queue": queue or "sqlite"}
        self._switches["failpoint_file"] = str(self.failpoint)
        self._switches |= switches or {}
        self._workers, self._program = workers, program
        self.daemon = self.server("data")
        self.stored = Stored(self.daemon.data_dir, queue)
        self.posted: dict[int, Place] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        for part in (self.sources, self.web, self.ftp, self.watch, self.store, self.stored, self.daemon):
            if part is not None:
                self._open.enter_context(part)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def server(self, name: str, *arguments: str) -> Daemon:
        """One that may write where this lane looks; ``name`` is that of its data directory."""
        return Daemon(
            self.root / name,
            *LOOPBACK,
            "--write-root",
            str(self._roots["file"]),
            "--config",
            str(self.settings),
            *arguments,
            workers=self._workers,
            switches=self._switches,
            program=self._program,
            environment={"SECRET": "key-of-a-test"},
        )

    def place(self, kind: Kind, name: str) -> Place:
        """The destination ``name``.png; the same name is the same destination."""
        match kind:
            case "file":
                path = self._roots["file"] / name / "out.png"
                if not path.parent.exists():
                    path.parent.mkdir()
                self.watch.add(path.parent)
                return Place(kind, f"{name}/out.png", path, f"file://{path}")
            case "ftp":
                return Place(
                    kind, f"{name}/out.png", self._roots["ftp"] / name / "out.png", f"{self.ftp.url}/{name}/out.png"
                )
            case "put":
                return Place(
                    kind, f"{name}/out.png", self._roots["web"] / name / "out.png", f"{self.web.url}/{name}/out.png"
                )
            case "form":
                path = self._roots["web"] / "uploads" / f"{name}.png"
                return Place(kind, f"uploads/{name}.png", path, f"{self.web.url}/upload.html:{name}.png")
            case "s3":
                assert self.store is not None
                path = self._roots["s3"] / name / "out.png"
                return Place(kind, f"{name}/out.png", path, f"{self.store.url}/{name}/out.png")

    def job(self, number: int, place: Place, source: str) -> dict[str, object]:
        """A request whose pictures are known by ``number``; ``source`` is a path of ``sources``."""
        self.posted[number] = place
        width, height = size_of(number)
        args: dict[str, object] = {"width": width, "height": height}
        args |= {"put": {"method": "PUT"}, "form": {"field_name": "image_file"}}.get(place.kind, {})
        return {
            "operationType": "resize",
            "srcURL": f"{self.sources.url}/{source}",
            "dstURL": place.url,
            "args": args,
            "placeholder": {"color": "#e0e000"},
        }

    def post(self, job: object, key: str = "") -> Reply | None:
        """None when the server went away before it answered."""
        try:
            return self.daemon.post(job, headers=bearer(key))
        except (OSError, http.client.HTTPException):
            return None

    def accept(self, job: object, key: str = "") -> None:
        reply = self.post(job, key)
        assert reply is not None, "no reply"
        assert "dstURL" in reply.body, reply.body

    def turn(self) -> None:
        """Whatever the server had begun to do when this was called, it has gone on with, behind its commits too."""
        answer = ask(self.daemon.data_dir, "POST", f"/v1/jobs/{'0' * 32}/cancel")  # a transaction that finds nothing
        assert answer.status == 404, answer

    def arm(self, point: str) -> None:
        """For what the server does from now on: another reader sees a commit before the server goes on."""
        self.turn()
        self.failpoint.write_text(point)

    def until_frozen(self) -> None:
        """The server must come to the failpoint at which it stops."""
        wait_until(lambda: is_frozen(self.daemon))

    def go_on(self) -> None:
        os.kill(self.daemon.pid, signal.SIGCONT)

    def restart_after_death(self) -> None:
        """The server must end at the failpoint; it starts again without it."""
        status = self.daemon.wait()
        assert status == 137, f"the failpoint was not reached, exit status {status}"
        self.failpoint.unlink()
        self.daemon.start()

    def refuse_once(self, place: Place) -> None:
        """The next write to this destination is answered as by a server in passing trouble."""
        match place.kind:
            case "put":
                self.web.behave(f"/{place.name}", Behaviour(status=500, times=1, kinds=("PUT",)))
            case "form":
                self.web.behave("/take", Behaviour(status=500, times=1, kinds=("POST",)))
            case "ftp":
                self.ftp.busy_times = 1
            case "file":
                place.path.parent.rename(place.path.parent.with_suffix(".away"))
                place.path.parent.write_text("where a directory is expected")
            case "s3":
                self.bucket.refuse_next(place.name)

    def heal(self, place: Place) -> None:
        if place.kind == "file":
            place.path.parent.unlink()
            place.path.parent.with_suffix(".away").rename(place.path.parent)
        self.bucket.heal(place.name)

    def entries(self, numbers: Iterable[int]) -> tuple[Entry, ...]:
        wanted = set(numbers)
        return tuple(entry for entry in entries_in(self.stored.select) if entry.job in wanted)

    def until(self, number: int, is_so: Callable[[Entry], bool], timeout_s: float = PATIENCE_S) -> None:
        wait_until(lambda: any(is_so(entry) for entry in self.entries([number])), timeout_s)

    def until_ended(self, numbers: Iterable[int], timeout_s: float = PATIENCE_S) -> None:
        wanted = tuple(numbers)

        def is_over() -> bool:
            return all(entry.status in ENDS and entry.outbox != "pending" for entry in self.entries(wanted))

        ends_at, pause_s = time.monotonic() + timeout_s, 0.005
        while not is_over():
            assert self.daemon.is_running, "the server has ended"
            assert time.monotonic() < ends_at, [entry for entry in self.entries(wanted) if entry.status not in ENDS]
            time.sleep(pause_s)
            pause_s = min(1.2 * pause_s, 0.05)

    def faults(self, numbers: Iterable[int]) -> list[str]:
        """What is wrong with these jobs and their destinations; all of them must have ended."""
        by_place: dict[Place, list[int]] = {}
        for number in numbers:
            by_place.setdefault(self.posted[number], []).append(number)
        writes = self._writes_by_place()
        known = self.entries(self.posted)
        logs = (self.web_log, self.ftp_log, self.watch, self.bucket_log)
        found = [fault for log in logs for fault in log.faults] + self._leftovers()
        for place, jobs in by_place.items():
            entries = [entry for entry in known if entry.job in jobs]
            at_rest = shown(place.name, place.path.read_bytes()) if place.path.exists() else None
            sent = writes.get((_server_of(place), place.name), [])
            found += judge(place.name, entries, sent, at_rest, is_form=place.kind == "form")
        return found

    def writes_to(self, place: Place) -> list[Write]:
        return self._writes_by_place().get((_server_of(place), place.name), [])

    def _writes_by_place(self) -> dict[tuple[str, str], list[Write]]:
        found: dict[tuple[str, str], list[Write]] = {}
        logs = (("web", self.web_log), ("ftp", self.ftp_log), ("file", self.watch), ("s3", self.bucket_log))
        for server, log in logs:
            for write in log.writes():
                found.setdefault((server, write.place), []).append(write)
        return found

    def _leftovers(self) -> list[str]:
        """Temporary names that nobody will remove any more."""
        return [f"left behind: {path}" for path in self.root.glob("*/**/.imgserve-*")]


def is_frozen(node: Daemon) -> bool:
    return Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _server_of(place: Place) -> str:
    return "web" if place.kind in ("put", "form") else place.kind
