"""The files and directories of the settings: who can read or write them, and which are open to jobs. For ``report``."""

import contextlib
import os
import stat
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from imgserve.cli.check.finding import Finding, as_whom, fault, is_anothers, ok, owner_of, unknown, warning
from imgserve.errors import user_name
from imgserve.settings.tree import Settings

SYSTEM = tuple(
    Path(name) for name in ("/etc", "/usr", "/boot", "/proc", "/sys", "/dev", "/root", "/lib", "/bin", "/sbin")
)
TOO_HIGH = tuple(Path(name) for name in ("/", "/var", "/var/lib", "/home", "/opt"))


def look(settings: Settings) -> Iterator[Finding]:
    private = _private(settings)
    reads = [Path(root).resolve() for root in settings.transfer.read_roots]
    writes = [Path(root).resolve() for root in settings.transfer.write_roots]
    found = [finding for root in reads if (finding := _read_root(root, private))]
    found += chain(*(_write_root(root, private, reads) for root in writes))
    found += [*_unusable(settings), *_secrets(settings)]
    yield from found or [ok("files", "roots, keys and log open nothing to others")]


def _unusable(settings: Settings) -> Iterator[Finding]:
    """Those that this user cannot use, which says nothing of the server's user where that is another one."""
    transfer, api, user = settings.transfer, settings.api, user_name(os.geteuid())
    owner = owner_of(settings.data_dir)
    for about, paths, rights, verb in (
        ("read_root", transfer.read_roots, os.R_OK | os.X_OK, "read"),
        ("write_root", transfer.write_roots, os.W_OK | os.X_OK, "written"),
        ("ca_file", (transfer.ca_file,), os.R_OK, "read"),
        ("api_key_file", (api.key_file,), os.R_OK, "read"),
    ):
        for path in paths:
            if not path or os.access(path, rights):
                continue
            if is_anothers(settings.data_dir):
                detail = f"whether {path} can be {verb} by {owner} cannot be seen by the user {user}"
                yield unknown(about, detail, as_whom(owner))
            else:
                hint = f"give {user} the right to it, or name another"
                yield warning(about, f"{path} cannot be {verb} by the user {user}", hint)


def _private(settings: Settings) -> tuple[Path, ...]:
    """The places that no job may read or write."""
    package = Path(__file__).parents[2]
    named = [settings.data_dir, settings.pid_file, Path(settings.log.file), package]
    named += [Path(name) for name in (settings.api.key_file, settings.api.tls_key) if name]
    return tuple(place.resolve() for place in named)


def _write_root(root: Path, private: tuple[Path, ...], reads: list[Path]) -> Iterator[Finding]:
    hint = "name a directory that holds nothing but results"
    held = [place for place in private if place.is_relative_to(root) or root.is_relative_to(place)]
    shared = [one for one in reads if one.is_relative_to(root) or root.is_relative_to(one)]
    if _is_of_the_system(root):
        yield fault("write_root", f"{root} is the system's own", hint)
    elif held:
        yield fault("write_root", f"jobs could overwrite {held[0]} beneath {root}", hint)
    elif shared:
        detail = f"{root} and the read_root {shared[0]} overlap: a job can overwrite originals"
        yield warning("write_root", detail, "keep results and originals apart")
    elif _mode(root) & stat.S_IWOTH:
        yield warning("write_root", f"every user of this machine can write to {root}", hint)


def _read_root(root: Path, private: tuple[Path, ...]) -> Finding | None:
    hint = "name a directory that holds nothing but pictures"
    if _is_of_the_system(root):
        return warning("read_root", f"{root} is the system's own", hint)
    held = [place for place in private if place.is_relative_to(root) or root.is_relative_to(place)]
    if held:
        return warning("read_root", f"{held[0]} lies beneath {root}", hint)
    return None


def _is_of_the_system(root: Path) -> bool:
    return root in TOO_HIGH or any(root.is_relative_to(one) for one in SYSTEM)


def _secrets(settings: Settings) -> Iterator[Finding]:
    for about, name in (("api_key_file", settings.api.key_file), ("tls_key", settings.api.tls_key)):
        if name and _mode(Path(name)) & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
            detail = f"{name} has mode {_mode(Path(name)):04o}: others have what is in it"
            yield fault(about, detail, f"chmod 0600 {name}")
    log = Path(settings.log.file)
    if os.access(log, os.F_OK) and _mode(log) & (stat.S_IROTH | stat.S_IWOTH):
        detail = f"every user of this machine can read {log}: what was posted is in it"
        yield warning("log_file", detail, f"chmod 0640 {log}")


def _mode(place: Path) -> int:
    """0 where this user may not see it: that is told of by itself."""
    with contextlib.suppress(PermissionError):
        return stat.S_IMODE(place.stat().st_mode)
    return 0
