"""The files and directories of the settings: rights, owners, and whether jobs reach too much. Called by ``report``."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from imgserve.cli.check.finding import Finding, fault, ok, owner_of, unknown, warning
from imgserve.errors import user_name
from imgserve.settings.tree import Settings

SYSTEM = tuple(map(Path, ("/etc", "/usr", "/boot", "/proc", "/sys", "/dev", "/root", "/lib", "/bin", "/sbin")))
TOO_HIGH = tuple(map(Path, ("/", "/var", "/var/lib", "/home", "/opt")))


def look(settings: Settings) -> Iterator[Finding]:
    findings = [*_roots(settings), *_unusable(settings), *_secrets(settings)]
    yield from findings or [ok("files", "roots, keys and log open nothing to others")]


def _roots(settings: Settings) -> Iterator[Finding]:
    private = _private(settings)
    reads = [Path(root).resolve() for root in settings.transfer.read_roots]
    for root in reads:
        yield from _root("read_root", root, private)
    for root in (Path(root).resolve() for root in settings.transfer.write_roots):
        findings = list(_root("write_root", root, private))
        yield from findings or _write_root(root, reads)


def _root(about: str, root: Path, private: tuple[Path, ...]) -> Iterator[Finding]:
    judge, verb, content = (fault, "overwrite", "results") if about == "write_root" else (warning, "read", "pictures")
    hint = f"name a directory that holds nothing but {content}"
    if root in TOO_HIGH or any(root.is_relative_to(place) for place in SYSTEM):
        yield judge(about, f"{root} is the system's own", hint)
    elif inside := [place for place in private if _overlap(place, root)]:
        yield judge(about, f"jobs could {verb} {inside[0]} beneath {root}", hint)


def _write_root(root: Path, reads: list[Path]) -> Iterator[Finding]:
    if shared := [read for read in reads if _overlap(read, root)]:
        detail = f"{root} and the read_root {shared[0]} overlap: a job can overwrite originals"
        yield warning("write_root", detail, "keep results and originals apart")
    elif _mode(root) & stat.S_IWOTH:
        hint = "name a directory that holds nothing but results"
        yield warning("write_root", f"every user of this machine can write to {root}", hint)


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _private(settings: Settings) -> tuple[Path, ...]:
    """The places that no job may read or write."""
    package = Path(__file__).parents[2]
    places = [
        settings.data_dir,
        settings.cache.place(settings.data_dir),
        settings.pid_file,
        Path(settings.log.file),
        package,
    ]
    files = (settings.api.key_file, settings.api.tls_key, *(path for _, path in _secret_files(settings)))
    places += [Path(name) for name in files if name]
    return tuple(place.resolve() for place in places)


def _unusable(settings: Settings) -> Iterator[Finding]:
    """Files that this user cannot use. That says nothing of the server's user, where it is another one."""
    transfer, user, owner = settings.transfer, user_name(os.geteuid()), owner_of(settings.data_dir)
    for about, paths, rights, verb in (
        ("read_root", transfer.read_roots, os.R_OK | os.X_OK, "read"),
        ("font_dirs", settings.pool.font_dirs, os.R_OK | os.X_OK, "read"),
        ("write_root", transfer.write_roots, os.W_OK | os.X_OK, "written"),
        ("ca_file", (transfer.ca_file,), os.R_OK, "read"),
        ("api_key_file", (settings.api.key_file,), os.R_OK, "read"),
        *((f"picture.{name}", (picture.path,), os.R_OK, "read") for name, picture in settings.pictures.items()),
        *((about, (path,), os.R_OK, "read") for about, path in _secret_files(settings)),
    ):
        for path in paths:
            if not path or os.access(path, rights):
                continue
            if is_of_another_user(settings.data_dir):
                detail = f"whether {path} can be {verb} by {owner} cannot be seen by the user {user}"
                yield unknown(about, detail, owner)
            else:
                hint = f"give {user} the right to it, or name another"
                yield warning(about, f"{path} cannot be {verb} by the user {user}", hint)


def is_of_another_user(place: Path) -> bool:
    try:
        return os.geteuid() not in (0, place.stat().st_uid)
    except OSError as error:
        return isinstance(error, PermissionError)


def _secrets(settings: Settings) -> Iterator[Finding]:
    own = (("api_key_file", settings.api.key_file), ("tls_key", settings.api.tls_key))
    for about, name in (*own, *_secret_files(settings)):
        if name and (mode := _mode(Path(name))) & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
            yield fault(about, f"{name} has mode {mode:04o}: others have what is in it", f"chmod 0600 {name}")
    log = Path(settings.log.file)
    if _mode(log) & (stat.S_IROTH | stat.S_IWOTH):
        detail = f"every user of this machine can read {log}: what was posted is in it"
        yield warning("log_file", detail, f"chmod 0640 {log}")


def _secret_files(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, credential in settings.credentials.items():
        yield f"credential.{name}", credential.secret.path
    imgproxy, thumbor = settings.get.imgproxy.grammar, settings.get.thumbor.grammar
    for about, secrets in (
        ("get.imgproxy", imgproxy.keys), ("get.imgproxy", imgproxy.salts), ("get.thumbor", thumbor.keys),
    ):  # fmt: skip
        yield from dict.fromkeys((about, secret.path) for secret in secrets)


def _mode(place: Path) -> int:
    """0 where there is no file, or this user may not see it, which has a row of its own."""
    with contextlib.suppress(OSError):
        return stat.S_IMODE(place.stat().st_mode)
    return 0
