"""docs/howto/move-from-….md: their commands, in order, and a server with the settings that come out."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.service.conftest import opened, put_pictures
from tests.support.daemon import Daemon
from tests.support.pages import commands_in

HOWTO = Path(__file__).resolve().parents[2] / "docs/howto"
KEY, SALT = "943b421c9eb07c830af81030552c8600", "520f986b998545b4785e0defbc4f3c12"
VARIABLES = {"IMGPROXY_KEY": KEY, "IMGPROXY_SALT": SALT}


class Case(NamedTuple):
    """``paths`` are asked for while both pages' servers are the one here."""

    name: str
    theirs: str
    old_server: str
    paths: tuple[str, ...]


CASES = (
    Case(
        "imgproxy",
        f"IMGPROXY_KEY={KEY}\nIMGPROXY_SALT={SALT}\nIMGPROXY_LOCAL_FILESYSTEM_ROOT=PICTURES\n"
        "IMGPROXY_ALLOWED_SOURCES=local://\nIMGPROXY_TRUSTED_SIGNATURES=mine\n",
        "http://imgproxy.example:8080",
        ("/mine/rs:fill:30:20/plain/local:///photo.jpg", "/mine/rs:fill:30:20/f:webp/plain/local:///Ex.png"),
    ),
    Case(
        "thumbor",
        "SECURITY_KEY = 'a-key'\nLOADER = 'thumbor.loaders.file_loader'\nFILE_LOADER_ROOT_PATH = 'PICTURES'\n",
        "http://thumbor.example:8888",
        ("/unsafe/30x20/photo.jpg", "/unsafe/30x20/filters:format(webp)/Ex.png"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_commands_of_the_page(tmp_path: Path, case: Case) -> None:
    put_pictures(tmp_path / "pictures")
    theirs = tmp_path / "theirs"
    theirs.write_text(case.theirs.replace("PICTURES", str(tmp_path / "pictures")))
    (tmp_path / "thumbor.key").write_text("a-key\n")
    (tmp_path / "thumbor.key").chmod(0o600)

    def run(command: str, *, statuses: tuple[int, ...] = (0,)) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **VARIABLES, "PATH": path, "HOME": str(tmp_path)}
        command = command.replace(f"/etc/{case.name}.env", str(theirs)).replace(f"/etc/{case.name}.conf", str(theirs))
        ended = subprocess.run(
            ["bash", "-ec", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode in statuses, ended.stdout + ended.stderr
        return ended.stdout

    take_over, check, compare = commands_in((HOWTO / f"move-from-{case.name}.md").read_text())
    run(take_over)
    see, sign = check.splitlines()
    assert "[get." not in run(see, statuses=(0, 1))  # warnings are of this machine
    with Daemon(tmp_path / "data", "--config", str(tmp_path / "imgserve.toml"), environment=VARIABLES) as server:
        url = run(sign).strip().replace("http://127.0.0.1:8602", server.url)
        with urllib.request.urlopen(url) as answer:
            assert opened(answer.read()).size == (300, 200)
        (tmp_path / "paths.txt").write_text("".join(f"{path}\n" for path in case.paths))
        lines = run(compare.replace(case.old_server, server.url).replace("http://127.0.0.1:8602", server.url))
    for line, path, media_type in zip(lines.splitlines(), case.paths, ("image/jpeg", "image/webp"), strict=True):
        old, new, asked = line.split("  ")
        assert (old, asked) == (new, path)
        assert old.startswith(f"200 {media_type} ")
