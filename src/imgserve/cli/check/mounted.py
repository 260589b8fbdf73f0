"""Mounted dialects and their cache: who may ask for what, and whether the pictures find room. Called by ``report``."""

import os
from collections.abc import Iterator
from pathlib import Path

from imgserve.cli.check.exposure import is_this_machine
from imgserve.cli.check.files import is_of_another_user
from imgserve.cli.check.finding import Finding, ok, owner_of, tried, unknown, warning
from imgserve.engine.cache.index import bytes_counted
from imgserve.engine.config import FLOORS_SPARED, MountConfig
from imgserve.errors import counted, user_name
from imgserve.request.principal import id_of_mount
from imgserve.settings.tree import Settings
from imgserve.transfer.guard import parse_network

_ABOUT = "cache_dir"


def look(settings: Settings) -> Iterator[Finding]:
    """Nothing for a server that answers no GETs."""
    mounts = settings.get.mounts
    if not mounts or settings.role == "runner":
        return
    for name, mount in mounts.items():
        yield _mount(name, mount, settings)
        yield from _credential(name, mount, settings)
        if mount.path == "/" and settings.transfer.write_roots:
            detail = (
                "it is mounted at / of a server with a write_root: every path of the server but its own is a picture"
            )
            yield warning(f"get.{name}", detail, "mount it at a path of its own, or write files from another server")
    if is_this_machine(settings.api.host) and not settings.get.trusted_proxies:
        detail = f"{settings.api.host} is for a proxy on this machine, whose clients share the quota of a mount"
        yield warning("trusted_proxies", detail, 'set trusted_proxies = ["127.0.0.1", "::1"]')
    for text in settings.get.trusted_proxies:
        if parse_network(text).prefixlen == 0:
            detail = f"{text} lets every client name another one in its place, and so pass its quota"
            yield warning("trusted_proxies", detail, "name the addresses of the proxies in front")
    place = settings.cache.place(settings.data_dir)
    yield from tried(_ABOUT, lambda: _cache(place, settings), owner_of(settings.data_dir))


def _mount(name: str, mount: MountConfig, settings: Settings) -> Finding:
    about, count = f"get.{name}", len({*mount.sources, *mount.names.values(), mount.base_url} - {""})
    of = counted(count, "source") if count else "any source"
    if not mount.allow_unsigned:
        return ok(about, f"{mount.path}, signed, {of}")
    detail = f"{mount.path}, not signed: anybody may have pictures of {of} made, in any number of sizes"
    if name != "iiif":
        return warning(about, detail, "set key_file, and sign the URLs of your pages: imgserve sign")
    iiif = settings.get.iiif.grammar
    if iiif.max_width or iiif.max_area:
        return ok(about, f"{mount.path}, not signed, as URLs of IIIF are not, {of}, with limits of its own")
    return warning(about, detail, "set max_width or max_area of [get.iiif], since its URLs have no signature")


def _credential(name: str, mount: MountConfig, settings: Settings) -> Iterator[Finding]:
    """Of a credential that the mount may not use: no source that needs it can be had."""
    if not mount.credential:
        return
    config, table, itself = (
        settings.credentials[mount.credential],
        f"[credential.{mount.credential}]",
        id_of_mount(name),
    )
    if config.type == "webhook":
        yield warning(f"get.{name}", f"{table} signs webhooks, and is for no source", "name one of another type")
    elif config.principals and itself not in config.principals:
        detail = f"{table} is not for this mount, and so no source of a bucket or over HTTP can be had"
        yield warning(f"get.{name}", detail, f'add "{itself}" to the principals of {table}')


def _cache(place: Path, settings: Settings) -> Iterator[Finding]:
    wanted = settings.cache.max_bytes + settings.cache.source_bytes
    if not wanted:
        yield ok(_ABOUT, "pictures are kept in memory alone")
        return
    above = next(parent for parent in (place.absolute(), *place.absolute().parents) if parent.exists())
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        yield _unusable(place, above, settings)
        return
    room = os.statvfs(above)
    possible = room.f_bavail * room.f_frsize + sum(bytes_counted(place / part) for part in ("pictures", "sources"))
    possible -= settings.queue.min_free_disk_bytes * FLOORS_SPARED
    detail = f"{place} has room for {max(possible, 0) // 1_000_000:,} MB of {wanted // 1_000_000:,} MB"
    if possible >= wanted:
        yield ok(_ABOUT, detail)
    else:
        yield warning(_ABOUT, detail, "lower cache_bytes or source_cache_bytes, or name a directory on a larger disk")


def _unusable(place: Path, above: Path, settings: Settings) -> Finding:
    user, owner = user_name(os.geteuid()), owner_of(settings.data_dir)
    detail = f"{place} cannot be {'written' if above == place else 'made'} by the user {user}"
    if is_of_another_user(settings.data_dir):
        return unknown(_ABOUT, detail, owner)
    return warning(
        _ABOUT, f"{detail}: pictures are kept in memory alone", f"give {user} the right to it, or name another"
    )
