"""``make demo``: the real server, real jobs, small servers of its own; what happened is told job by job.

    python -m examples.demo [DIRECTORY]

It leaves everything it made in the directory (``demo-out``), placeholders too, and exits with 1 if any job did not end
as it should.
"""

import json
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import quote

from examples.receivers import FtpReceiver, HttpReceiver
from examples.watching import Sighting, Watcher, look_at

PICTURES = Path(__file__).resolve().parent / "pictures"
JOB_TIMEOUT_S = 15.0
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Job(NamedTuple):
    """A request, where its result will be seen on this machine, and what it must be there."""

    title: str
    body: dict[str, object]
    path: Path
    width_px: int
    height_px: int
    format: str


class Outcome(NamedTuple):
    """What one post led to. ``was_there``: something stood at the destination when the reply came."""

    reply: str
    reply_ms: float
    posted_at: float
    seen: list[Sighting]
    is_accepted: bool
    was_there: bool


def main(arguments: list[str]) -> int:
    out = Path(arguments[0] if arguments else "demo-out").resolve()
    shutil.rmtree(out, ignore_errors=True)
    for name in ("file", "http", "ftp", "placeholders"):
        (out / name).mkdir(parents=True)
    for name in ("http", "ftp"):
        shutil.copytree(PICTURES, out / name / "pictures")
    logging.getLogger("pyftpdlib").addHandler(logging.FileHandler(out / "ftp.log"))
    with HttpReceiver(out / "http") as web, FtpReceiver(out / "ftp") as ftp, imgserve(out) as server:
        jobs = list(make_jobs(web.url.rstrip("/"), ftp.url.rstrip("/"), out))
        faults = [fault for number, job in enumerate(jobs, 1) for fault in run(number, job, server, out)]
        faults += render(len(jobs) + 1, server, out)
    told = f"{len(jobs)} jobs and a render on demand, {len(faults)} faults"
    print(f"\nimgserve stopped (SIGTERM). {told}; all pictures are in {out}")
    return 1 if faults else 0


def make_jobs(web: str, ftp: str, out: Path) -> Iterator[Job]:
    yield Job(
        "resize, a file to a file",
        request(
            "resize",
            f"file://{PICTURES}/hills.jpg",
            f"file://{out}/file/{{$width}}x{{$height}}-{{$basename}}.{{$ext}}",
            width=320,
            height=200,
        ),
        out / "file/320x200-hills.jpg", 320, 200, "jpeg",
    )  # fmt: skip
    yield Job(
        "resize, HTTP to FTP (the first example of 2011)",
        request(
            "resize",
            f"{web}/pictures/hills.jpg",
            f"{ftp}/thumbs/{{$width}}-{{$basename}}.{{$ext}}",
            width=200,
            height=120,
        ),
        out / "ftp/thumbs/200-hills.jpg", 200, 120, "jpeg",
    )  # fmt: skip
    yield Job(
        "resize, HTTP to an upload form (the second example of 2011)",
        request(
            "resize",
            f"{web}/pictures/hills.jpg",
            f"{web}/upload.html:{{$width}}-{{$basename}}.{{$ext}}",
            width=200,
            height=120,
            field_name="image_file",
        ),
        out / "http/uploads/200-hills.jpg", 200, 120, "jpeg",
    )  # fmt: skip
    yield Job(
        "rasterize, a file to HTTP PUT",
        request(
            "rasterize",
            f"file://{PICTURES}/lighthouse.svg",
            f"{web}/stored/{{$basename}}.png",
            width=640,
            height=400,
            method="PUT",
        ),
        out / "http/stored/lighthouse.png", 640, 400, "png",
    )  # fmt: skip
    yield Job(
        "rasterize, FTP to a file; the height follows the drawing's shape",
        request("rasterize", f"{ftp}/pictures/lighthouse.svg", f"file://{out}/file/{{$basename}}.webp", width=480),
        out / "file/lighthouse.webp", 480, 300, "webp",
    )  # fmt: skip
    yield Job(
        "resize, FTP to HTTP PUT, as AVIF",
        request("resize", f"{ftp}/pictures/hills.jpg", f"{web}/stored/hills.avif", width=600, method="PUT"),
        out / "http/stored/hills.avif", 600, 450, "avif",
    )  # fmt: skip


def request(operation: str, source: str, destination: str, **args: object) -> dict[str, object]:
    return {"operationType": operation, "srcURL": source, "dstURL": destination, "args": args}


def run(number: int, job: Job, server: str, out: Path) -> list[str]:
    """Post one job, tell what came of it, and return what was wrong."""
    print(f"\n{number}. {job.title}", flush=True)
    outcome = post(job, server)
    print(f"   reply        {outcome.reply}  after {outcome.reply_ms:.0f} ms")
    for name, sighting in zip(("placeholder", "result"), (outcome.seen[:1] + outcome.seen[1:][-1:]), strict=False):
        verb = "there" if name == "placeholder" else "replaced it"
        print(f"   {name:<12} {sighting}, {verb} {(sighting.at - outcome.posted_at) * 1000:.0f} ms after the post")
    if outcome.seen:
        (out / "placeholders" / job.path.name).write_bytes(outcome.seen[0].data)
    print(f"   lies at      {job.path}")
    faults = list(judge(job, outcome))
    for fault in faults:
        print(f"   WRONG        {fault}")
    return faults


def render(number: int, server: str, out: Path) -> list[str]:
    """Send a picture, keep the result that comes back; return what was wrong."""
    print(f"\n{number}. a render on demand: a picture and a recipe in, the result back, no job", flush=True)
    recipe = {"operations": [{"operation": "resize", "width": 300, "height": 300}, {"operation": "grayscale"}]}
    body, started = (PICTURES / "hills.jpg").read_bytes(), time.monotonic()
    headers = {"Content-Type": "image/jpeg", "Accept": "image/webp, */*;q=0.5"}
    url = f"{server}/v1/render?recipe={quote(json.dumps(recipe))}"
    try:
        with DIRECTLY.open(urllib.request.Request(url, body, headers), timeout=JOB_TIMEOUT_S) as answer:
            data, timing = answer.read(), answer.headers["server-timing"]
    except OSError as error:
        print(f"   WRONG        {error}")
        return [str(error)]
    path = out / "on-demand" / "hills.webp"
    path.parent.mkdir()
    path.write_bytes(data)
    seen = look_at(time.monotonic(), data)
    print(f"   result       {seen}, {(time.monotonic() - started) * 1000:.0f} ms after the post ({timing})")
    print(f"   lies at      {path}")
    is_right = seen is not None and (seen.width_px, seen.height_px, seen.format) == (300, 300, "webp")
    return [] if is_right else [f"expected 300x300 webp, saw {seen}"]


def post(job: Job, server: str) -> Outcome:
    with Watcher(job.path) as watcher:
        posted_at = time.monotonic()
        body = json.dumps(job.body).encode()
        try:
            with DIRECTLY.open(server, data=body, timeout=JOB_TIMEOUT_S) as answer:
                reply = answer.read().decode()
        except urllib.error.HTTPError as error:
            reply = f"{error.code} {error.read().decode()}"
        except OSError as error:
            reply = f"no answer: {error}"
        was_there = job.path.exists()
        reply_ms = (time.monotonic() - posted_at) * 1000
        is_accepted = reply.startswith('{"dstURL"')
        seen = watcher.wait_for_result(JOB_TIMEOUT_S if is_accepted else 0.0)
        return Outcome(reply, reply_ms, posted_at, seen, is_accepted, was_there)


def judge(job: Job, outcome: Outcome) -> Iterator[str]:
    if not outcome.is_accepted:
        yield "the job was not accepted"
        return
    if len(outcome.seen) < 2 or not outcome.seen[0].is_grey:
        yield f"expected a placeholder and then a result, saw {len(outcome.seen)} pictures"
    if outcome.seen and outcome.seen[-1].is_grey:
        yield "the placeholder is still there"
    for sighting in outcome.seen:
        if (sighting.width_px, sighting.height_px, sighting.format) != (job.width_px, job.height_px, job.format):
            yield f"expected {job.width_px}x{job.height_px} {job.format}, saw {sighting}"
    if not outcome.was_there:
        yield "nothing was there when the reply came"


@contextmanager
def imgserve(out: Path) -> Iterator[str]:
    """The real server on a free loopback port, its queue in a temporary directory; yields its URL."""
    with tempfile.TemporaryDirectory(prefix="imgserve-demo-") as data_dir, (out / "server.log").open("w") as log:
        command = [
            str(Path(sys.executable).with_name("imgserve")), "start", "--foreground",
            "--host", "127.0.0.1", "--port", "0", "--data-dir", data_dir,
            "--allow-network", "127.0.0.0/8",
            "--read-root", str(PICTURES), "--write-root", str(out / "file"),
        ]  # fmt: skip
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            ready: list[str] = []
            is_up = threading.Event()
            reader = threading.Thread(target=_read_log, args=(server, log, ready, is_up))
            reader.start()
            try:
                if not is_up.wait(20) or not ready:
                    raise SystemExit(f"imgserve did not start; see {out}/server.log")
                print(ready[0].strip(), f"(log: {out}/server.log)")
                yield ready[0].split()[-1]
            finally:
                server.send_signal(signal.SIGTERM)
                status = server.wait(40)
                reader.join()
        if status != 0:
            raise SystemExit(f"imgserve ended with status {status}; see {out}/server.log")


def _read_log(server: "subprocess.Popen[str]", log: IO[str], ready: list[str], is_up: threading.Event) -> None:
    assert server.stderr is not None
    for line in server.stderr:
        log.write(line)
        if " listening on " in line:
            ready.append(line)
            is_up.set()
    is_up.set()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
