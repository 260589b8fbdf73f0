"""``imgserve cache purge|stats``: the caches of the running server, for its operator."""

import argparse

import msgspec

from imgserve.api.control_socket import CacheView, PurgeView
from imgserve.cli import output
from imgserve.engine.cache.stats import CacheStats
from imgserve.errors import counted

_MEGABYTE = 1_000_000


def add(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    purger = actions.add_parser("purge", help="delete cached pictures; on all servers of a shared queue")
    scopes = purger.add_mutually_exclusive_group(required=True)
    scopes.add_argument("--source", metavar="URL", help="all pictures of the source with this URL")
    scopes.add_argument(
        "--url", metavar="URL", help="the picture that this URL of the server shows, in all its formats"
    )
    scopes.add_argument("--prefix", metavar="URL", help="all pictures of sources whose URL begins so")
    scopes.add_argument("--all", action="store_true", default=None, help="all pictures")
    output.asks(purger, _purge)
    shower = actions.add_parser("stats", help="what the caches hold, and what they have answered since the start")
    output.asks(shower, _stats)


def _purge(flags: argparse.Namespace) -> int:
    scope = {name: getattr(flags, name) for name in ("source", "url", "prefix", "all")}
    body = msgspec.json.encode({name: value for name, value in scope.items() if value is not None})
    purged = output.client_of(flags).post("/v1/cache/purge", PurgeView, body)
    text = f"{counted(purged.purged, 'picture')} and {counted(purged.sources, 'source')} purged"
    if purged.deleting:
        text += "; further files are being deleted, and none of them is sent any more"
    output.show(purged, text, is_json=flags.json)
    return output.DONE


def _stats(flags: argparse.Namespace) -> int:
    view = output.client_of(flags).get("/v1/cache", CacheView)
    lines = [f"mounts    {', '.join(view.mounts) or 'none, so nothing is cached'}"]
    for name, part in (("pictures", view.pictures), ("sources", view.sources)) if view.mounts else ():
        lines += [f"{name if not index else '':<9} {line}" for index, line in enumerate(_lines(part))]
    output.show(view, "\n".join(lines), is_json=flags.json)
    return output.DONE


def _lines(part: CacheStats) -> list[str]:
    asked = part.memory_hits + part.disk_hits + part.misses
    rate = f"{(asked - part.misses) / asked:.1%} hits of {asked:,}" if asked else "not asked yet"
    lines = [
        f"disk    {_size(part.size_bytes)} of {_size(part.cap_bytes)}, {_entries(part.entries)}"
        + ("" if part.is_whole else ", still being counted"),
        f"memory  {_size(part.memory_bytes)} of {_size(part.memory_cap_bytes)}, {_entries(part.memory_entries)}",
        f"{rate}: {part.memory_hits:,} from memory, {part.disk_hits:,} from the disk",
        f"{part.stored:,} stored, {part.skipped:,} of them not on the disk, {part.evicted:,} evicted",
    ]
    if part.damaged or part.failures:
        lines.append(f"{counted(part.damaged, 'damaged file')}, {counted(part.failures, 'failure')} of the disk")
    if part.purging:
        lines.append(f"the files of {counted(part.purging, 'purge')} are still being deleted")
    return lines


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / _MEGABYTE:,.1f} MB"
