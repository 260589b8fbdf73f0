"""``imgserve check`` as an operator types it: before the first start, beside a server, where things are missing."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.daemon import Daemon
from tests.sizes import PATIENCE_S

FORMATS = ("jpeg", "png", "webp", "gif", "tiff", "avif", "SVG")


class Told(NamedTuple):
    status: int
    text: str
    errors: str

    @property
    def findings(self) -> dict[str, tuple[str, str]]:
        return {one["about"]: (one["state"], one["detail"]) for one in json.loads(self.text)["findings"]}


def check(*arguments: str, before: Sequence[str] = (), **environment: str) -> Told:
    command = [*before, sys.executable, "-m", "imgserve", "check", *arguments]
    times = {f"IMGSERVE_{kind}_TIMEOUT_S": str(PATIENCE_S) for kind in ("PROBE", "SVG", "RENDER")}
    environ = {**os.environ, "IMGSERVE_WORKERS": "1", **times, **environment}
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)
    return Told(ended.returncode, ended.stdout, ended.stderr)


def test_before_the_first_start_and_beside_the_server(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "data"), "--user", "root")
    first = check("--json", *data)
    assert first.errors == ""
    assert {first.findings[name][0] for name in ("workers", *FORMATS)} == {"ok"}, first.text
    assert first.findings["sandbox"] == ("ok", "workers are locked in by landlock and seccomp")
    assert not (tmp_path / "data").exists()
    with Daemon(tmp_path / "data") as server:
        second = check("--json", *data)
        assert second.findings["server"] == ("ok", f"pid {server.pid} owns {tmp_path / 'data'}")
        assert second.findings["queue file"][0] == "ok"
        assert server.stop() == 0
    states = {state for state, _ in check("--json", *data).findings.values()}
    assert "fault" not in states


def test_lines_and_exit_status(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "data"), "--user", "root")
    well = check(*data, IMGSERVE_SANDBOX="require")
    lines = well.text.splitlines()
    assert all(line.split()[0] in ("ok", "warning", "fault") for line in lines[:-1])
    worst = 1 if any(line.startswith("warning") for line in lines) else 0
    assert (well.status, lines[-1].endswith(f"{lines[-1].split()[-4]} warnings, 0 faults")) == (worst, True)
    off = check(*data, IMGSERVE_SANDBOX="off")
    assert off.status == 1
    assert "warning  sandbox        sandbox is off" in off.text
    wide = check(*data, "--allow-network", "0.0.0.0/0")
    assert wide.status == 2
    assert "fault    allow_network  0.0.0.0/0 lets jobs reach every address" in wide.text


def test_settings_that_cannot_be_used_are_one_finding(tmp_path: Path) -> None:
    told = check("--json", "--read-root", str(tmp_path / "absent"), IMGSERVE_RENDR_TIMEOUT_S="3")
    state, detail = told.findings["settings"]
    assert (told.status, state) == (2, "fault")
    assert "there is no directory" in detail
    assert "did you mean IMGSERVE_RENDER_TIMEOUT_S" in detail
    assert told.findings["jpeg"][0] == "ok", "the rest was looked at all the same"


def test_a_machine_without_fonts_and_libturbojpeg(tmp_path: Path) -> None:
    hidden = "for place in /usr/share/fonts /etc/fonts; do mount -t tmpfs none $place; done; "
    hidden += "find -L /lib /usr/lib -name 'libturbojpeg.so.0*' -exec mount --bind /dev/null {} \\; ; exec \"$@\""
    bare = ("unshare", "-m", "sh", "-c", hidden, "sh")
    told = check("--json", "--data-dir", str(tmp_path / "data"), before=bare)
    assert told.findings["fonts"][0] == "warning"
    assert told.findings["SVG"] == ("warning", "text in SVGs cannot be read: there is no font for it")
    assert told.findings["fast JPEG"][0] == "warning"
    assert told.findings["jpeg"][0] == "ok"


def test_workers_that_cannot_start(tmp_path: Path) -> None:
    [library] = Path(sys.prefix).rglob("_libvips*.so")
    broken = ("unshare", "-m", "sh", "-c", f'mount --bind /dev/null {library}; exec "$@"', "sh")
    told = check("--json", "--data-dir", str(tmp_path / "data"), before=broken)
    state, detail = told.findings["workers"]
    assert (told.status, state) == (2, "fault")
    assert "cannot start" in detail
