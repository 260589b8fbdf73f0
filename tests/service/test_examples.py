"""The examples run, against the real server, and tell what they saw."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from examples.demo import Job, imgserve, judge, post
from examples.receivers import FtpReceiver, HttpReceiver
from PIL import Image

from tests.support.pages import jobs_in

ROOT = Path(__file__).resolve().parents[2]


def test_demo_ends_well_and_shows_each_step(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "examples.demo", str(out)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as demo:
        try:
            told, _ = demo.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(demo.pid, signal.SIGKILL)  # the server that it started too
            raise
    assert demo.returncode == 0, told
    assert told.count("ms after the post") == 13, told
    for name, size in {
        "file/320x200-hills.jpg": (320, 200),
        "ftp/thumbs/200-hills.jpg": (200, 120),
        "http/uploads/200-hills.jpg": (200, 120),
        "http/stored/lighthouse.png": (640, 400),
        "file/lighthouse.webp": (480, 300),
        "http/stored/hills.avif": (600, 450),
    }.items():
        with Image.open(out / name) as result, Image.open(out / "placeholders" / Path(name).name) as placeholder:
            assert result.size == placeholder.size == size
    with Image.open(out / "on-demand/hills.webp") as result:
        assert (result.size, result.format) == ((300, 300), "WEBP")


def test_jobs_of_the_readme_work(tmp_path: Path) -> None:
    web_root, ftp_root, file_root = (tmp_path / name for name in ("http", "ftp", "file"))
    source = web_root / "wikipedia/en/7/70/Ex.png"
    source.parent.mkdir(parents=True)
    ftp_root.mkdir()
    file_root.mkdir()
    Image.linear_gradient("L").resize((400, 300)).convert("RGB").point([*range(256), *[40] * 512]).save(source)
    with HttpReceiver(web_root) as web, FtpReceiver(ftp_root) as ftp, imgserve(tmp_path) as server:
        text = (ROOT / "README.md").read_text().replace("file:///tmp", f"file://{file_root}")
        text = text.replace("http://192.168.1.10", web.url).replace("ftp://192.168.1.10", ftp.url)
        expected = [
            (file_root / "320x200-hills.jpg", 320, 200, "jpeg"),
            (ftp_root / "wikipedia/en/7/70/200-Ex.png", 200, 120, "png"),
            (web_root / "uploads/200-Ex.png", 200, 120, "png"),
        ]
        for body, (path, width, height, kind) in zip(jobs_in(text, str(ROOT)), expected, strict=True):
            job = Job(path.name, json.loads(body), path, width, height, kind)
            outcome = post(job, server)
            assert list(judge(job, outcome)) == [], outcome.reply
            assert path.name in json.loads(outcome.reply)["dstURL"]


def test_pictures_in_the_readme_are_a_placeholder_and_its_result() -> None:
    with Image.open(ROOT / "docs/images/placeholder.png") as file:
        placeholder = file.convert("RGB")
    with Image.open(ROOT / "docs/images/result.png") as file:
        result = file.convert("RGB")
    with Image.open(ROOT / "examples/pictures/hills.jpg") as source:
        # 360x225 is a crop of the whole width: 1200 x 750 from the middle of 1200 x 900
        expected = source.convert("RGB").crop((0, 75, 1200, 825)).resize(result.size, Image.Resampling.LANCZOS)
    assert placeholder.size == result.size == (360, 225)
    assert all(red == green == blue for red, green, blue in colours_of(placeholder))
    ours, theirs = result.tobytes(), expected.tobytes()
    assert sum(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / len(ours) < 3


def colours_of(picture: Image.Image) -> list[tuple[int, int, int]]:
    data = picture.tobytes()
    return list(zip(data[::3], data[1::3], data[2::3], strict=True))
