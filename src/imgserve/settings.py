"""Everything that can be set, from flags and environment, checked all at once.

The only reader of the environment. Nests each package's own Config; packages receive their slice and nothing else.
"""

import os
import pwd
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from imgserve import attempt, failpoint, intake, placeholder, runner
from imgserve.api import app
from imgserve.errors import ImgserveError
from imgserve.imaging import pool
from imgserve.jobs import queue
from imgserve.spec.limits import Limits
from imgserve.transfer import dispatch

TEST_SWITCH = "IMGSERVE_TEST"
ROOT_DATA_DIR = Path("/var/lib/imgserve")


class SettingsInvalid(ImgserveError):
    code = "settings_invalid"
    title = "The settings cannot be used"


class TestSwitches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What only tests may change, as JSON in IMGSERVE_TEST; the server says so in its log when it is set."""

    __test__ = False

    failpoint: str = ""
    nth: Annotated[int, msgspec.Meta(ge=1)] = 1
    failpoint_file: str = ""
    quiet_s: float | None = None
    repeat_after_s: float | None = None
    drain_s: float | None = None


class Settings(msgspec.Struct, frozen=True):
    data_dir: Path
    api: app.Config
    limits: Limits
    pool: pool.Config
    transfer: dispatch.Config
    queue: queue.Config
    intake: intake.Config
    attempt: attempt.Config
    runner: runner.Config
    placeholder: placeholder.Config
    drain_s: float = 30.0
    test: TestSwitches | None = None


def load(flags: Namespace, environ: Mapping[str, str]) -> Settings:
    """Settings from the command line and the environment. Raises SettingsInvalid, which names every fault."""
    problems: list[str] = []
    test = _test_switches(environ, problems)
    transfer = dispatch.Config(
        allow_networks=tuple(flags.allow_network),
        read_roots=tuple(flags.read_root),
        write_roots=tuple(flags.write_root),
    )
    problems.extend(transfer.problems())
    workers = flags.workers if flags.workers is not None else os.cpu_count() or 1
    if workers < 1:
        problems.append(f"--workers: expected a whole number from 1, got {workers}")
    if not 0 <= flags.port <= 65535:
        problems.append(f"--port: expected a whole number from 0 to 65535, got {flags.port}")
    keys = _api_keys(flags.api_key_file, problems)
    if problems:
        raise SettingsInvalid("; ".join(problems))
    return Settings(
        data_dir=Path(flags.data_dir) if flags.data_dir else _default_data_dir(environ),
        api=app.Config(host=flags.host, port=flags.port, keys=keys),
        limits=Limits(),
        pool=pool.Config(workers=workers),
        transfer=transfer,
        queue=queue.Config() if test.quiet_s is None else queue.Config(quiet_s=test.quiet_s),
        intake=intake.Config(),
        attempt=attempt.Config() if test.repeat_after_s is None else attempt.Config(repeat_after_s=test.repeat_after_s),
        runner=runner.Config(max_attempts=min(64, 16 * workers)),
        placeholder=placeholder.Config(),
        drain_s=30.0 if test.drain_s is None else test.drain_s,
        test=test if TEST_SWITCH in environ else None,
    )


def process_environment() -> Mapping[str, str]:
    return os.environ  # noqa: TID251 - this is the one place


def _test_switches(environ: Mapping[str, str], problems: list[str]) -> TestSwitches:
    try:
        switches = msgspec.json.decode(environ.get(TEST_SWITCH, "{}"), type=TestSwitches)
    except msgspec.DecodeError as error:
        problems.append(f"{TEST_SWITCH}: {error}")
        return TestSwitches()
    if switches.failpoint and switches.failpoint not in failpoint.NAMES:
        problems.append(f"{TEST_SWITCH}: expected one of {', '.join(failpoint.NAMES)}")
    return switches


def _api_keys(path: str | None, problems: list[str]) -> tuple[str, ...]:
    """One key a line; empty lines and lines that start with # do not count."""
    if path is None:
        return ()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"--api-key-file: {path} cannot be read: {error}")
        return ()
    lines = (line.strip() for line in text.splitlines())
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    if not keys:
        problems.append(f"--api-key-file: {path} holds no key, expected one a line")
    if any(len(key) < 16 or not key.isascii() or not key.isprintable() or " " in key for key in keys):
        problems.append(f"--api-key-file: each key in {path} must be at least 16 printable ASCII characters, no spaces")
    return keys


def _default_data_dir(environ: Mapping[str, str]) -> Path:
    if os.geteuid() == 0:
        return ROOT_DATA_DIR
    home = environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir
    return Path(home) / ".imgserve"
