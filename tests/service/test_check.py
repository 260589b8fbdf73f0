"""``imgserve check`` as an operator types it: before the first start, beside a server, where things are missing."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import certifi
import pytest

from imgserve.imaging.worker import library
from tests.service.test_daemon import House, open_house, where_everybody_can_read_python
from tests.service.test_doors import get
from tests.support.daemon import Daemon
from tests.support.sizes import PATIENCE_S

__all__ = ["open_house"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, or mount")
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
    assert {first.findings[name][0] for name in ("workers", *FORMATS, "heic", "bmp", "ico")} == {"ok"}, first.text
    assert first.findings["sandbox"] == ("ok", "workers are locked in by landlock and seccomp")
    assert not (tmp_path / "data").exists()
    with Daemon(tmp_path / "data") as server:
        second = check("--json", *data)
        assert second.findings["server"] == ("ok", f"pid {server.pid} owns {tmp_path / 'data'}")
        assert second.findings["queue file"][0] == "ok"
        assert second.findings["libvips"] == ("ok", f"{library.version()}, the wheel's own")
        health = json.loads(get(f"{server.url}/health")[1])
        assert set(health) - {"states"} == {"status", "sandbox", "formats"}, (
            "the wheel's libvips is named by check alone"
        )
        assert server.stop() == 0
    states = {state for state, _ in check("--json", *data).findings.values()}
    assert "fault" not in states


def test_lines_and_exit_status(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "data"), "--user", "root")
    well = check(*data, IMGSERVE_SANDBOX="require")
    lines = well.text.splitlines()
    assert all(line.split()[0] in ("ok", "warning", "fault") for line in lines[:-1])
    warnings = sum(line.startswith("warning") for line in lines)
    assert well.status == min(warnings, 1)
    assert lines[-1].endswith(f" ok, {warnings} warning{'' if warnings == 1 else 's'}, 0 faults")
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


def test_mounts_have_rows_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "imgserve.toml"
    file.write_text(
        'cache_bytes = 1000000\nsource_cache_bytes = 0\n[get.thumbor]\npath = "/t"\nkey_env = "SIGN"\n'
        '[get.iiif]\npath = "/i"\nallow_unsigned = true\nsources = ["a.test"]\n'
    )
    told = check("--json", "--config", str(file), "--data-dir", str(tmp_path / "data"), SIGN="a-key")
    assert told.findings["get.thumbor"] == ("ok", "/t, signed, any source")
    assert told.findings["get.iiif"][0] == "warning"
    assert told.findings["cache_dir"][0] == "ok"
    assert not (tmp_path / "data").exists()


def test_a_machine_without_fonts_and_libturbojpeg(tmp_path: Path) -> None:
    hidden = "for place in /usr/share/fonts /etc/fonts; do mount -t tmpfs none $place; done; "
    hidden += "find -L /lib /usr/lib -name 'libturbojpeg.so.0*' -exec mount --bind /dev/null {} \\; ; exec \"$@\""
    bare = ("unshare", "-m", "sh", "-c", hidden, "sh")
    told = check("--json", "--data-dir", str(tmp_path / "data"), before=bare)
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


@needs_root
def test_another_user_sees_what_he_may_and_is_told_who_sees_the_rest(open_house: House) -> None:
    """No row is wrong for him: what he may not see is unknown, not a fault."""
    top, data = open_house.top, open_house.data
    (top / "out").mkdir()
    keys = top / "keys"
    keys.write_text("a-key-of-some-length-01\n")
    keys.chmod(0o600)
    given: tuple[str, ...] = ("--data-dir", str(data), "--write-root", str(top / "out"), "--api-key-file", str(keys))
    given = (*given, "--host", "127.0.0.1")
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    before = (*where_everybody_can_read_python(top), *nobody)
    with Daemon(data, "--api-key-file", str(keys), "--write-root", str(top / "out")) as server:
        told = check("--json", *given, before=before, HOME="/")
        assert server.is_running
    states = {about: state for about, (state, _) in told.findings.items()}
    unknown = {about for about, state in states.items() if state == "unknown"}
    assert unknown >= {"data_dir", "server", "queue file", "fsync", "write_root"}, states
    assert "fault" not in states.values(), told.text
    assert {states[about] for about in ("packages", "settings", "workers", "jpeg", "host")} == {"ok"}
    assert told.status == 3
    assert "run imgserve check as root" in told.text


@needs_root
def test_what_lies_behind_a_closed_directory_is_unknown(open_house: House) -> None:
    """As a server's files do in the home of its user."""
    home = open_house.top / "home"
    for name in ("data", "in", "out"):
        (home / name).mkdir(parents=True)
    (home / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    home.chmod(0o700)
    roots = ("--read-root", str(home / "in"), "--write-root", str(home / "out"), "--ca-file", str(home / "ca.pem"))
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    before = (*where_everybody_can_read_python(open_house.top), *nobody)
    told = check("--json", "--data-dir", str(home / "data"), *roots, before=before, HOME="/")
    states = {about: state for about, (state, _) in told.findings.items()}
    unknown = {about for about, state in states.items() if state == "unknown"}
    assert unknown >= {"data_dir", "read_root", "write_root", "ca_file"}, states
    assert "fault" not in states.values(), told.text
    assert states["settings"] == "ok"
    assert told.status == 3


@needs_root
def test_roots_that_the_server_cannot_use_are_told(open_house: House) -> None:
    for name in ("in", "out"):
        (open_house.top / name).mkdir(mode=0o700)
    (open_house.top / "data2").mkdir(mode=0o700)
    os.chown(open_house.top / "data2", 65534, 65534)
    config, logo = open_house.top / "pictures.toml", open_house.top / "in" / "logo.png"
    token = open_house.top / "in" / "token"
    token.write_text("t0ken")
    credential = f'[credential.cdn]\ntype = "bearer"\nsecret_file = "{token}"\nfor = ["https://cdn.test/"]\n'
    config.write_text(f'[picture.logo]\npath = "{logo}"\n{credential}')
    roots = ("--read-root", str(open_house.top / "in"), "--write-root", str(open_house.top / "out"))
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    before = (*where_everybody_can_read_python(open_house.top), *nobody)
    given = ("--data-dir", str(open_house.top / "data2"), "--config", str(config), *roots)
    told = check("--json", *given, before=before, HOME="/")
    assert told.findings["picture.logo"] == ("warning", f"{logo} cannot be read by the user nobody")
    assert told.findings["credential.cdn"] == ("warning", f"{token} cannot be read by the user nobody")
    assert told.findings["settings"][0] == "ok"
    assert told.findings["read_root"] == ("warning", f"{open_house.top / 'in'} cannot be read by the user nobody")
    assert told.findings["write_root"] == ("warning", f"{open_house.top / 'out'} cannot be written by the user nobody")


@needs_root
def test_a_server_on_an_overlay_is_found(tmp_path: Path) -> None:
    """Such a file has another device number in the kernel's list of locks than for whoever asks."""
    (tmp_path / "disk").mkdir()
    house = House(tmp_path)
    layers = "lowerdir=disk/lower,upperdir=disk/upper,workdir=disk/work"
    script = f"""cd {tmp_path} && mount -t tmpfs disk disk && mkdir disk/lower disk/upper disk/work disk/here
    mount -t overlay overlay -o {layers} disk/here || exit 77
    "$0" -m imgserve start && "$0" -m imgserve status && "$0" -m imgserve check --json; "$0" -m imgserve stop"""
    given = {**house.settings, "data_dir": str(tmp_path / "disk/here/data")}
    environ = {**os.environ, **{f"IMGSERVE_{name.upper()}": value for name, value in given.items()}}
    apart = ["unshare", "--mount", "sh", "-c", script, sys.executable]
    ended = subprocess.run(apart, env=environ, capture_output=True, text=True, timeout=90, check=False)
    if ended.returncode == 77:
        pytest.skip("this machine's kernel mounts no overlay here")
    pid = next(line.split()[1] for line in ended.stdout.splitlines() if line.startswith("pid "))
    report = next(line for line in ended.stdout.splitlines() if line.startswith("{"))
    findings = Told(0, report, "").findings
    assert findings["server"] == ("ok", f"pid {pid} owns {given['data_dir']}")
    assert findings["data_dir"][0] == "warning", "it goes with the container"
