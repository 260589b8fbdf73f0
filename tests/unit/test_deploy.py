"""The files in deploy/ keep what they claim: systemd's own judgement, a linter, and the rules of our own."""

import functools
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from imgserve.request.classic.parse import parse
from imgserve.settings.options import BY_NAME, VARIABLE_PREFIX
from imgserve.settings.unknown import BOOT_ID

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "imgserve.service"
DOCKERFILE = DEPLOY / "Dockerfile"
MOST_EXPOSED = 14  # of 100, where systemd-analyze says 96 for a unit without any of these lines


def unit() -> dict[str, list[str]]:
    """Every key of the unit with its values, in their order."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def lines_of_dockerfile() -> list[tuple[str, str]]:
    """Each instruction and what follows it, lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed; to run this: apt-get install systemd"
)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    there = UNIT.read_text().replace("/opt/imgserve/bin/imgserve", sys.executable)
    (tmp_path / "imgserve.service").write_text(there)
    told = analyze("verify", "--man=no", str(tmp_path / "imgserve.service"))
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    (tmp_path / "imgserve.service").write_text(there.replace("ProtectSystem=strict", "ProtectSystem=strictly"))
    assert "protect system" in analyze("verify", "--man=no", str(tmp_path / "imgserve.service")).stderr


@needs_systemd
def test_systemd_understands_the_template(tmp_path: Path) -> None:
    """As `make install` lays it down: the unit under the template's name, and what an instance changes."""
    there = UNIT.read_text().replace("/opt/imgserve/bin/imgserve", sys.executable)
    (tmp_path / "imgserve@.service").write_text(there)
    (tmp_path / "imgserve@.service.d").mkdir()
    changes = tmp_path / "imgserve@.service.d/server.conf"
    changes.write_text((DEPLOY / "imgserve@.conf").read_text())
    told = analyze("verify", "--man=no", str(tmp_path / "imgserve@runner1.service"))
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    changes.write_text(changes.read_text().replace("StateDirectory=imgserve", "StateDirectory=/imgserve"))
    assert (
        "StateDirectory= path is absolute" in analyze("verify", "--man=no", str(tmp_path / "imgserve@a.service")).stderr
    )


@needs_systemd
def test_systemd_finds_little_exposed(tmp_path: Path) -> None:
    def judged(path: Path) -> int:
        return analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(path)).returncode

    assert judged(UNIT) == 0
    open_unit = tmp_path / "imgserve.service"
    open_unit.write_text("\n".join(line for line in UNIT.read_text().splitlines() if not line.startswith("Protect")))
    assert judged(open_unit) != 0


def test_the_unit_gives_the_server_time_and_keeps_it() -> None:
    told = unit()
    drain_s = BY_NAME["drain_s"].default
    assert isinstance(drain_s, float)
    assert int(told["TimeoutStopSec"][0]) > drain_s
    assert (told["Restart"], told["KillMode"], told["Type"]) == (["always"], ["mixed"], ["notify"])
    assert told["OOMPolicy"] == ["continue"], "a worker that takes too much would take the server along"
    assert told["WantedBy"] == ["multi-user.target"], "it would not come back after a reboot"


def test_the_unit_lets_results_be_written_where_the_settings_put_them() -> None:
    settings = tomllib.loads((DEPLOY / "imgserve.toml").read_text())
    assert unit()["ReadWritePaths"] == [f"-{root}" for root in settings["write_root"]]
    assert settings["data_dir"] == f"/var/lib/{unit()['StateDirectory'][0]}"


def test_the_unit_hides_and_forbids_what_is_not_needed() -> None:
    told = unit()
    for name in ("MemoryDenyWriteExecute", "PrivateMounts", "NoNewPrivileges", "ProtectHome"):
        assert told[name] == ["yes"], name
    assert (told["ProcSubset"], told["ProtectProc"], told["UMask"]) == (["pid"], ["invisible"], ["0022"])
    assert f"{BOOT_ID}=%b" in told["Environment"]


def test_names_of_settings_are_real() -> None:
    commented = re.sub(r"^# (?=\w+ = )", "", (DEPLOY / "imgserve.toml").read_text(), flags=re.MULTILINE)
    assert set(tomllib.loads(commented)) <= set(BY_NAME)
    texts = "".join(
        (DEPLOY / name).read_text()
        for name in ("imgserve.service", "imgserve@.conf", "environment", "Dockerfile", "compose.yaml")
    )
    variables = set(re.findall(rf"\b{VARIABLE_PREFIX}\w+", texts))
    assert len(variables) >= 4
    variables.discard(BOOT_ID)
    assert {name.removeprefix(VARIABLE_PREFIX).lower() for name in variables} <= set(BY_NAME)


def test_the_dockerfile_is_clean(tmp_path: Path) -> None:
    hadolint = str(Path(sys.executable).with_name("hadolint"))
    told = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stdout) == (0, "")
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /tmp && sudo true\n")
    assert subprocess.run([hadolint, tmp_path / "Dockerfile"], capture_output=True, timeout=60, check=False).returncode


def test_the_image_is_small_and_not_root() -> None:
    lines = lines_of_dockerfile()
    stages = [value for name, value in lines if name == "FROM"]
    assert len(stages) == 2
    assert stages[0] == f"{stages[1]} AS build"
    last = lines[max(number for number, (name, _) in enumerate(lines) if name == "FROM") :]
    [user] = [value for name, value in last if name == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "by number, so that a runtime can see that it is not root"
    assert not [value for name, value in last if name == "COPY" and not value.startswith("--from=build")]
    [packages] = [value for name, value in last if name == "RUN"]
    assert {"libturbojpeg0", "fonts-dejavu-core", "--no-install-recommends"} <= set(packages.split())
    assert {name for name, _ in last} >= {"HEALTHCHECK", "VOLUME", "ENTRYPOINT"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make users, in a directory of the test too")
def test_the_images_user_and_group_are_the_ones_it_runs_as(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).touch()
    [steps] = [value for name, value in lines_of_dockerfile() if name == "RUN" and "useradd" in value]
    for step in steps.split("&&"):
        if (words := shlex.split(step))[0] in ("groupadd", "useradd"):
            subprocess.run([words[0], "--prefix", tmp_path, *words[1:]], capture_output=True, timeout=30, check=True)
    [user] = (tmp_path / "etc/passwd").read_text().splitlines()
    [group] = (tmp_path / "etc/group").read_text().splitlines()
    [runs_as] = [value for name, value in lines_of_dockerfile() if name == "USER"]
    assert ":".join(user.split(":")[2:4]) == runs_as
    assert group.split(":")[:3] == ["imgserve", "x", runs_as.partition(":")[2]]


def test_what_the_image_copies_is_there_and_is_sent() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name, value in lines_of_dockerfile():
        if name == "COPY" and not value.startswith("--from"):
            for source in value.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source.split('/')[0]}" in ignored, source


def health_command() -> list[str]:
    [check] = [value for name, value in lines_of_dockerfile() if name == "HEALTHCHECK"]
    words: list[str] = json.loads(check.partition("CMD ")[2])
    return words


def test_the_health_check_fails_without_a_server() -> None:
    command = [sys.executable, *health_command()[1:]]
    with socket.socket() as taken:  # so that nobody can listen there
        taken.bind(("127.0.0.1", 0))
        command[-1] = command[-1].replace("8602", str(taken.getsockname()[1]))
        assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode != 0


def test_the_page_of_the_container_leads_to_a_first_job() -> None:
    """What it makes is what compose mounts, by the names that its job has."""
    page = (ROOT / "docs/operations.md").read_text().partition("### In a container")[2].partition("\n### ")[0]
    text = (DEPLOY / "compose.yaml").read_text()
    for host, inside in (("originals", "/originals"), ("results", "/results")):
        assert f"deploy/{host}" in page
        assert f"- ./{host}:{inside}" in text
        assert f'"file://{inside}/' in page
    assert "IMGSERVE_READ_ROOT: /originals" in text
    assert "IMGSERVE_WRITE_ROOT: /results" in text
    assert "file: ./keys" in text
    assert "> deploy/keys" in page
    [job] = re.findall(r"-d '(\{.*?\})'", page, re.DOTALL)
    parse(job.encode())


def test_compose_takes_what_the_image_needs_not() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    for line in ("read_only: true", "cap_drop: [ALL]", 'security_opt: ["no-new-privileges:true"]'):
        assert line in text
    [patience] = re.findall(r"stop_grace_period: (\d+)s", text)
    assert int(patience) > float(str(BY_NAME["drain_s"].default))
    assert '- "127.0.0.1:8602:8602"' in text, "open to the network before there is TLS"


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="logrotate is not installed; apt-get install logrotate")
def test_logrotate_understands_its_snippet(tmp_path: Path) -> None:
    log, pid_file, heard = tmp_path / "imgserve.log", tmp_path / "imgserve.pid", tmp_path / "heard"
    text = (DEPLOY / "logrotate").read_text()
    text = text.replace("/var/log/imgserve/imgserve.log", str(log)).replace("/var/run/imgserve.pid", str(pid_file))
    (tmp_path / "snippet").write_text(text)
    log.write_text("a line\n")
    quoted = shlex.quote(str(pid_file))
    listener = f"trap 'touch {heard}; exit' HUP; echo $$ > {quoted}; echo ready; while :; do sleep 0.05; done"
    # A shell that was started with SIGHUP ignored, as under nohup, cannot trap it.
    heed = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    with subprocess.Popen(["sh", "-c", listener], stdout=subprocess.PIPE, text=True, preexec_fn=heed) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        command = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(tmp_path / "snippet")]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (told.returncode, told.stderr) == (0, "")
        process.wait(20)
    assert heard.exists()
    assert (tmp_path / "imgserve.log.1").read_text() == "a line\n"
