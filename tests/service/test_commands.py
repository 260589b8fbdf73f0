"""submit, jobs list and show, completion: the command as a subprocess, against a real server."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import pytest

from imgserve.cli.main import main
from tests.chaos.sources import BROKEN
from tests.service.conftest import World, opened
from tests.support.operating import Operator, command


@pytest.fixture(scope="module", autouse=True)
def cut_picture(world: World) -> None:
    """A picture whose header is whole: its job is accepted and fails."""
    (world.read_root / "cut.png").write_bytes(BROKEN)


def job_file(world: World, name: str, source: str = "Ex.png", **args: object) -> Path:
    """A job that writes ``name`` beneath the server's root."""
    path = world.write_root.parent / f"{name}.json"
    path.write_text(
        json.dumps({
            "operationType": "resize", "srcURL": f"file://{world.read_root}/{source}",
            "dstURL": f"file://{world.write_root}/{name}", "args": {"width": 20, "height": 15, **args},
        })
    )  # fmt: skip
    return path


def on_terminal(*words: str, answer: bytes = b"") -> tuple[int, str]:
    """Exit status and all that a person at a terminal sees."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    run = subprocess.Popen([sys.executable, "-m", "imgserve", *words], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    if answer:
        os.write(ours, answer)
    seen = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # the last one at the other end has gone
            break
        if not chunk:
            break
        seen += chunk
    os.close(ours)
    return run.wait(30), seen.decode()


def test_submit_and_wait(world: World) -> None:
    operate = Operator(world.server)
    told = operate("submit", job_file(world, "one.png"), "-", "--wait", stdin=job_file(world, "two.png").read_bytes())
    assert told.returncode == 0, told.stderr
    assert told.stderr == b""
    lines = sorted(line.split()[1:] for line in told.stdout.decode().splitlines())
    assert lines == [["succeeded", f"file://{world.write_root}/{name}"] for name in ("one.png", "two.png")]
    assert opened((world.write_root / "two.png").read_bytes()).size == (20, 15)


def test_submit_a_job_of_the_native_api(world: World) -> None:
    outputs = [
        {"name": name, "operations": [{"operation": "resize", "width": side, "height": side}],
         "destination": f"file://{world.write_root}/{{$name}}.png"} for name, side in (("native-1", 8), ("native-2", 9))
    ]  # fmt: skip
    job = {"source": f"file://{world.read_root}/Ex.png", "outputs": outputs, "metadata": {"product": "4711"}}
    told = Operator(world.server)("submit", "-", "--wait", "--json", stdin=json.dumps(job).encode())
    assert told.returncode == 0, told.stderr
    shown = json.loads(told.stdout)
    assert (shown["status"], shown["protocol"], shown["metadata"]) == ("succeeded", "v1", {"product": "4711"})
    assert opened((world.write_root / "native-2.png").read_bytes()).size == (9, 9)
    bad = {**job, "priority": "hihg"}
    refused = Operator(world.server)("submit", "-", stdin=json.dumps(bad).encode())
    assert refused.returncode == 1
    assert b"-: priority: expected " in refused.stderr
    assert Operator(world.server)("submit", "-", stdin=b"[]").returncode == 1


def test_submit_without_waiting_tells_the_ids(world: World) -> None:
    operate = Operator(world.server)
    told = operate("submit", job_file(world, "three.png"), "--json")
    job = json.loads(told.stdout)
    assert job["status"] in ("queued", "running", "succeeded")
    operate.until(job["id"], "succeeded")


def test_submit_tells_refusals_and_goes_on(world: World) -> None:
    bad = job_file(world, "bad.png", widht=3)
    told = Operator(world.server)(
        "submit", bad, world.write_root / "nothing.json", job_file(world, "good.png"), "--wait"
    )
    assert told.returncode == 1
    complaints = told.stderr.decode()
    assert f'{bad}: args.widht: unknown, did you mean "width"?' in complaints
    assert "nothing.json: No such file" in complaints
    assert told.stdout.decode().split()[1:] == ["succeeded", f"file://{world.write_root}/good.png"]


def test_submit_and_wait_exits_with_1_when_a_job_fails(world: World) -> None:
    told = Operator(world.server)("submit", job_file(world, "broken.png", "cut.png"), "--wait")
    assert told.returncode == 1
    assert "source_unreadable: " in told.stdout.decode()


def test_list_and_show(world: World) -> None:
    operate = Operator(world.server)
    for name in ("list-1.png", "list-2.png"):
        assert operate("submit", job_file(world, name), "--wait").returncode == 0
    assert operate("submit", job_file(world, "list-3.png", "cut.png"), "--wait").returncode == 1

    def listed(*words: str) -> list[str]:
        told = operate("jobs", "list", "--destination", "/list-", *words)
        assert told.returncode == 0, told.stderr
        return [line.rpartition("/")[2] for line in told.stdout.decode().splitlines()[1:]]

    assert listed() == ["list-3.png", "list-2.png", "list-1.png"]
    assert listed("--status", "failed", "--status", "succeeded", "--limit", "2") == ["list-3.png", "list-2.png"]
    for words in (("--older-than", "1h"), ("--destination", "/nowhere", "--json"), ("--status", "cancelled")):
        none = operate("jobs", "list", "--destination", "/list-", *words)
        assert (none.returncode, none.stdout, none.stderr) == (1, b"", b"imgserve: no job matches\n")
    assert listed("--older-than", "0s", "--status", "succeeded") == ["list-2.png", "list-1.png"]
    [line] = operate("jobs", "list", "--destination", "/list-3", "--json").stdout.splitlines()
    failed = json.loads(line)
    assert isinstance(failed["source"]["width"], int)
    shown = operate("jobs", "show", failed["id"]).stdout.decode()
    for piece in (
        failed["id"],
        "failed",
        "source_unreadable: ",
        "20x15 png, failed",
        "placeholder written",
        "error_image ",
    ):
        assert piece in shown
    assert operate.shown(failed["id"])["id"] == failed["id"]
    assert operate.shown(failed["id"][:20])["id"] == failed["id"]
    few = subprocess.run(
        f"{sys.executable} -m imgserve jobs list --json --data-dir {world.server.data_dir} | head -c 1",
        shell=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (few.stdout, few.stderr) == (b"{", b"")


def test_watch_one_job_until_it_ends(world: World) -> None:
    operate = Operator(world.server)
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    place = f"file://{world.write_root}/watched.png"
    job = {"source": f"file://{world.read_root}/Ex.png", "outputs": [{"destination": place}], "not_before": later}
    job_id = json.loads(operate("submit", "-", "--json", stdin=json.dumps(job).encode()).stdout)["id"]
    with watching(world, job_id[:20]) as told:
        assert told.readline().split()[1:] == ["job", job_id, "queued"]
        assert operate("jobs", "cancel", job_id).returncode == 0
        assert told.readline().split()[1:] == ["job.cancelled", job_id, "cancelled"]
        assert told.read() == ""
    cancelled = operate("jobs", "watch", job_id, "--json")
    assert (cancelled.returncode, cancelled.stderr) == (1, b"")
    assert [json.loads(line)["job"]["status"] for line in cancelled.stdout.splitlines()] == ["cancelled"]
    done = json.loads(operate("submit", job_file(world, "watched.png"), "--wait", "--json").stdout)["id"]
    assert operate("jobs", "watch", done).returncode == 0


def test_watch_all_jobs_until_control_c(world: World) -> None:
    job_ids = set()
    with watching(world, "--type", "output.delivered") as told:
        while not select.select([told], [], [], 0.2)[0]:  # the first ones may come before it listens
            submitted = Operator(world.server)("submit", job_file(world, "all.png"), "--wait", "--json")
            job_ids.add(json.loads(submitted.stdout)["id"])
        _, kind, job_id, status, place = told.readline().split()
    assert (kind, status, place) == ("output.delivered", "succeeded", f"file://{world.write_root}/all.png")
    assert job_id in job_ids


@contextmanager
def watching(world: World, *words: str) -> Iterator[IO[str]]:
    """What ``imgserve jobs watch`` prints; Control-C ends it behind the block, if it still runs."""
    # A shell that starts the tests in its background has them ignore Control-C, and the command with them.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "imgserve", "jobs", "watch", *words]
    command += ["--data-dir", str(world.server.data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) in (1, 130)


def test_no_secret_is_shown(world: World) -> None:
    source = f"http://me:hush@127.0.0.1:{world.http.port}/Ex.png?token=hush"
    job = world.write_root.parent / "secret.json"
    job.write_text(
        json.dumps({
            "operationType": "resize", "srcURL": source,
            "dstURL": f"http://me:hush@127.0.0.1:{world.http.port}/out.png?X-Amz-Signature=hush&v=hush",
            "args": {"width": 20, "method": "PUT"},
        })
    )  # fmt: skip
    operate = Operator(world.server)
    submitted = operate("submit", job, "--wait", "--json")
    job_id = json.loads(submitted.stdout)["id"]
    told = [submitted, operate("jobs", "show", job_id), operate("jobs", "list"), operate("jobs", "list", "--json")]
    for run in told:
        assert run.returncode == 0, run.stderr
        assert b"hush" not in run.stdout + run.stderr
    assert b"/out.png?..." in told[1].stdout


def test_a_list_of_more_than_a_page(world: World) -> None:
    """All pages are read: 201 jobs are more than one answer holds."""
    operate = Operator(world.server)
    whole = json.loads(job_file(world, "page.png").read_text())
    for i in range(201):
        body = whole | {
            "placeholder": "none",
            "dstURL": f"file://{world.write_root}/page-{i}.gif",
            "args": {"width": 1, "height": 1},
        }
        assert "dstURL" in world.server.post(body).body
    told = operate("jobs", "list", "--destination", "/page-", "--limit", "500", "--json")
    assert len({json.loads(line)["id"] for line in told.stdout.splitlines()}) == 201


@pytest.mark.parametrize(
    "words",
    [
        ("jobs", "list"),
        ("jobs", "show", "x"),
        ("submit", __file__),
        ("jobs", "cancel", "x"),
        ("jobs", "watch"),
        ("jobs", "watch", "x"),
    ],
)
def test_without_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        assert main([*words, "--data-dir", str(place)]) == 3
        told = capsys.readouterr()
        assert f"no imgserve is running on the data directory {place}" in told.err
        assert told.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ("jobs",), ("jobs", "list", "--status", "lost"), ("jobs", "list", "--limit", "0"),
        ("jobs", "list", "--older-than", "soon"), ("jobs", "show"), ("submit",), ("render", "a"), ("completion",),
        ("render", "a", "b", "--operation", "blow"), ("completion", "tcsh"),
    ],
)  # fmt: skip
def test_wrong_usage(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "usage: imgserve" in told.err


@pytest.mark.parametrize("action", ["retry", "cancel"])
@pytest.mark.parametrize("which", [(), ("abc", "--all")])
def test_which_jobs_must_be_said(capsys: pytest.CaptureFixture[str], action: str, which: tuple[str, ...]) -> None:
    assert main(["jobs", action, *which]) == 2
    assert "either ids or a filter" in capsys.readouterr().err


def test_bars_and_questions_on_a_terminal(world: World) -> None:
    data_dir = str(world.server.data_dir)
    files = [str(job_file(world, f"bar-{i}.png", "cut.png")) for i in range(2)]
    status, seen = on_terminal("submit", *files, "--wait", "--data-dir", data_dir)
    assert status == 1
    assert re.search(r"waiting .* \S*\d+%", seen), seen
    words = ("jobs", "retry", "--destination", "/bar-", "--data-dir", data_dir)
    status, seen = on_terminal(*words, answer=b"n\n")
    assert (status, "retry 2 jobs? [y/N]" in seen, "nothing was done" in seen) == (2, True, True)
    status, seen = on_terminal(*words, answer=b"y\n")
    assert (status, seen.count("  queued again")) == (0, 2), seen


def test_completion_is_understood_by_the_shells(tmp_path: Path) -> None:
    scripts = {shell: command("completion", shell).stdout.decode() for shell in ("bash", "zsh", "fish")}
    for shell, script in scripts.items():
        assert "older-than" in script
        assert "rasterize" in script
        if shutil.which(shell):
            (tmp_path / shell).write_text(script)
            assert subprocess.run([shell, "-n", tmp_path / shell], capture_output=True, timeout=20).returncode == 0
    ask = (
        f"{scripts['bash']}\nCOMP_WORDS=(imgserve jobs re) COMP_CWORD=2\n"
        'complete -p imgserve | sed "s/.*-F \\([^ ]*\\).*/\\1/" > /dev/null\n'
        '_shtab_imgserve imgserve re jobs; echo "${COMPREPLY[@]}"'
    )
    run = subprocess.run(["bash", "--norc"], input=ask, capture_output=True, text=True, timeout=20)
    assert run.stdout.split() == ["refused", "retry"], run.stderr
