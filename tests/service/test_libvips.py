"""Which libvips the workers use, on machines whose system has one too; and that an installation does not see it."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
from pathlib import Path

import pytest

from imgserve.imaging.worker import library
from tests.service.test_check import check
from tests.support.daemon import Daemon, wait_until

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = Path(sysconfig.get_path("platlib"))
_SYSTEM = Path("/usr/lib") / (sysconfig.get_config_var("MULTIARCH") or "")


def machine_with_libvips(tmp_path: Path) -> tuple[str, ...]:
    """What stands before a command, so that it sees a libvips of the system, and the wheel's extension is broken."""
    [extension] = _PACKAGES.glob("_libvips*.so")
    [wheels] = (_PACKAGES / "pyvips_binary.libs").glob("libvips*")
    layers = shlex.quote(str(tmp_path / "layers"))
    script = (
        f"mkdir -p {layers} && mount -t tmpfs none {layers} && mkdir {layers}/upper {layers}/work"
        f" && cp {shlex.quote(str(wheels))} {layers}/upper/libvips.so.42"
        f" && mount -t overlay -o lowerdir={_SYSTEM},upperdir={layers}/upper,workdir={layers}/work overlay {_SYSTEM}"
        f' && mount --bind /dev/null {shlex.quote(str(extension))} && exec "$@"'
    )
    return ("unshare", "-m", "sh", "-c", script, "sh")


def test_the_systems_libvips_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    told = check("--json", "--data-dir", str(tmp_path / "data"), before=machine_with_libvips(tmp_path))
    state, detail = told.findings["workers"]
    assert (told.status, state) == (2, "fault")
    assert f"({_SYSTEM}/libvips.so.42) was loaded, which is not the tested one" in detail
    assert (
        f"with {sys.executable} -m pip uninstall --yes pyvips pyvips-binary && PKG_CONFIG=false PKG_CONFIG_LIBDIR= "
        in detail
    )
    assert "pip install --no-cache-dir --no-deps pyvips==" in detail
    assert "allow_system_libvips = true" in detail


def test_the_systems_libvips(tmp_path: Path) -> None:
    """Where it is allowed it works, and everybody who looks is told of it."""
    before = machine_with_libvips(tmp_path)
    told = check("--json", "--data-dir", str(tmp_path / "data"), before=before, IMGSERVE_ALLOW_SYSTEM_LIBVIPS="true")
    state, detail = told.findings["libvips"]
    assert (state, "which is not the tested one" in detail) == ("warning", True)
    assert {told.findings[name][0] for name in ("jpeg", "png", "webp", "gif", "tiff", "avif", "SVG")} == {"ok"}
    picture, result = ROOT / "examples/pictures/hills.jpg", tmp_path / "hills.webp"
    command = [*before, sys.executable, "-m", "imgserve", "render", "--width", "90", str(picture), str(result)]
    environment = {**os.environ, "IMGSERVE_ALLOW_SYSTEM_LIBVIPS": "true"}
    subprocess.run(command, env=environment, timeout=60, check=True)
    assert result.exists()
    switches = {"allow_system_libvips": "true"}
    with Daemon(tmp_path / "data", switches=switches, before=before) as server:
        with urllib.request.urlopen(f"{server.url}/health") as answer:
            assert "libvips.so.42" in json.load(answer)["system_libvips"]
        wait_until(lambda: "state_entered state=system_libvips" in server.log)


def test_an_extension_built_against_the_systems_is_foreign_and_the_wheels_is_not(tmp_path: Path) -> None:
    wheel = tmp_path / "pyvips_binary.libs"
    own = f"7f00-7f01 r-xp 00000000 fe:00 11 {wheel}/libvips-e42572c0.so.42\n"
    other = "7f02-7f03 r-xp 00000000 fe:00 12 /usr/lib/x86_64-linux-gnu/libvips.so.42.16.1\n"
    cpp = "7f04-7f05 r-xp 00000000 fe:00 13 /opt/my libs/libvips-cpp.so.42\n"
    nothing = "7f06-7f07 rw-p 00000000 00:00 0 \n7f08-7f09 rw-p 00000000 00:00 0 [heap]\n"
    assert library.foreign_files(own + nothing, wheel) == []
    assert library.foreign_files(own + other + other + nothing, wheel) == [
        "/usr/lib/x86_64-linux-gnu/libvips.so.42.16.1"
    ]
    assert library.foreign_files(cpp, wheel) == ["/opt/my libs/libvips-cpp.so.42"]


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="pkg-config is not installed; apt-get install pkgconf")
def test_make_hides_libvips_from_pip(tmp_path: Path) -> None:
    (tmp_path / "vips.pc").write_text("Name: vips\nDescription: -\nVersion: 8.14.1\nLibs: -lvips\nCflags:\n")
    for variable in ("PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR"):
        environment = {**os.environ, variable: str(tmp_path)}
        look = ["pkg-config", "--exists", "vips"]
        assert subprocess.run(look, env=environment, check=False).returncode == 0
        command = ["make", "-s", "--eval=look: ; @pkg-config --exists vips", "look"]
        assert subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False).returncode != 0


def test_make_hides_libvips_of_a_pkg_config_that_looks_elsewhere(tmp_path: Path) -> None:
    """As one of a cross compiler or of Nix, which has places of its own."""
    wrapper = tmp_path / "pkg-config"
    wrapper.write_text("#!/bin/sh\nexit 0\n")
    wrapper.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PKG_CONFIG": str(wrapper)}
    # As the package pkgconfig calls it, by which pyvips looks.
    command = ["make", "-s", "--eval=look: ; @$${PKG_CONFIG:-pkg-config} --exists vips", "look"]
    assert subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("target", ["setup", "install"])
def test_make_takes_no_build_from_pips_cache(target: str) -> None:
    command = ["make", "-n", "--always-make", target]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    lines = [line for line in told.stdout.splitlines() if "-r requirements/run.txt" in line]
    assert lines
    assert all("--no-cache-dir" in line.split() for line in lines)
