"""The worker: lock the door, then draw what comes through the socket until the socket closes.

Started by ``imaging/process.py`` with the socket's number, the sandbox mode, the memory limit, which libvips it may use
and its role: worker, or template (``template.py``) that forks workers. It has no network, no credentials, and no files
but fonts; pictures come and go as descriptors. Everything is imported before the lock, except the reader of upload
pages: the first page imports it, or the template.
"""

import functools
import gc
import mmap
import os
import select
import socket
import sys
import traceback
from typing import cast

import msgspec

from imgserve.imaging.worker.repair import WHEEL, repair_command

try:
    import pyvips
except (ImportError, OSError) as error:  # no extension that can be loaded, and no libvips of the system either
    sys.exit(f"the package {WHEEL} is missing or broken ({error}): install it anew with {repair_command()}")

from imgserve.blob import seal_result
from imgserve.errors import ImgserveError
from imgserve.imaging import wire
from imgserve.imaging.faults import PageUnreadable, PictureTooLarge, RenderFailed, SourceUnreadable, SvgInvalid
from imgserve.imaging.messages import (
    SYSTEM_LIBVIPS,
    TEMPLATE,
    CannotStart,
    DrawRequest,
    Failed,
    FaultCode,
    PageRead,
    PageRequest,
    Probed,
    ProbeRequest,
    Ready,
    RenderRequest,
    Reply,
    Request,
    Written,
)
from imgserve.imaging.worker import draw, library, pipeline, probe, sandbox, template, vips
from imgserve.imaging.worker.svg import watch

_CODES: dict[type[ImgserveError], FaultCode] = {
    SourceUnreadable: "source_unreadable",
    SvgInvalid: "svg_invalid",
    PictureTooLarge: "picture_too_large",
    RenderFailed: "render_failed",
    PageUnreadable: "page_unreadable",
}

COLLECT_AFTER = 20_000
PROBE_CPU_S = 0.2
TRIM_AFTER_S = 1.0  # the next picture can use freed memory again, if it comes within this time
SVG_MEMORY_BYTES = 800_000_000  # a raster picture at the limits may need more, but its header gives its size


def main(arguments: list[str]) -> None:
    descriptor, mode, memory_limit_bytes = int(arguments[0]), cast(sandbox.Mode, arguments[1]), int(arguments[2])
    connection = socket.socket(fileno=descriptor)
    try:
        system_libvips = library.describe(is_system_allowed=arguments[3] == SYSTEM_LIBVIPS)
        sandbox.give_up_privileges(memory_limit_bytes)
        vips.configure()
        if arguments[4] == TEMPLATE:
            template.run(
                connection,
                mode,
                lambda state: _say(connection, Ready(state, system_libvips)),
                lambda own, state: _serve(own, Ready(state, system_libvips)),
            )
        else:
            _serve(connection, Ready(_lock_in(mode), system_libvips))
    except (library.LibraryRefused, sandbox.SandboxImpossible, pyvips.Error) as error:
        _say(connection, CannotStart(str(error)))


def _lock_in(mode: sandbox.Mode) -> str:
    sandbox.offer_to_die_first()
    watch.own_memory.open()
    files = sandbox.close_files(mode, sandbox.rules_for_files(mode))
    vips.warm_up()
    system_calls = sandbox.close_system_calls(mode)
    sandbox.silence()
    return sandbox.state(files, system_calls)


def _serve(connection: socket.socket, ready: Ready) -> None:
    """Say that the door is locked, then answer one request after the other until the server hangs up."""
    _say(connection, ready)
    gc.freeze()  # what is loaded stays; pictures leave no cycles worth a search after each
    gc.set_threshold(COLLECT_AFTER)
    while (received := wire.receive_request(connection)) is not None:
        request, descriptors = received
        try:
            reply = _answer(request, descriptors, functools.partial(_give_up, connection))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        _say(connection, reply)
        if not select.select([connection], [], [], TRIM_AFTER_S)[0]:
            vips.give_memory_back()


def _answer(request: Request, descriptors: list[int], give_up: watch.GiveUp) -> Reply:
    try:
        return _carry_out(request, descriptors, give_up)
    except tuple(_CODES) as fault:
        return Failed(_CODES[type(fault)], fault.detail, fault.hint)
    except Exception as error:  # noqa: BLE001 - the worker loop: a fault of ours must not look like a codec's crash
        trace = "".join(traceback.format_exception(error))
        return Failed("render_failed", "imgserve met an unexpected fault while rendering", trace=trace[-8000:])


def _give_up(connection: socket.socket, fault: ImgserveError) -> None:
    _say(connection, Failed(_CODES[type(fault)], fault.detail, fault.hint, is_last=True))
    os._exit(0)


def _carry_out(request: Request, descriptors: list[int], give_up: watch.GiveUp) -> Reply:
    match request:
        case ProbeRequest():
            is_mapped = bool(descriptors)
            found = probe.probe(
                _mapped(descriptors[0], request.size_bytes, is_read_whole=False) if is_mapped else request.head,
                request.limits,
                is_complete=request.is_complete,
                source_bytes=request.source_bytes,
                is_strict=request.is_strict,
                watched=functools.partial(watch.cpu_time, give_up, PROBE_CPU_S),
            )
            return Probed(found)
        case RenderRequest():
            source, result = descriptors
            data = _mapped(source, request.size_bytes, is_read_whole=True)
            watched = functools.partial(watch.memory, give_up, SVG_MEMORY_BYTES)
            return _sealed(pipeline.render(data, request.rendering, request.limits, result, watched), result)
        case DrawRequest():
            return _sealed(draw.draw(request.drawing, request.limits, descriptors[0]), descriptors[0])
        case PageRequest():
            return _read_page(request, descriptors)


def _sealed(written: Written, result: int) -> Written:
    seal_result(result)
    return written


def _read_page(request: PageRequest, descriptors: list[int]) -> PageRead:
    from imgserve.imaging.worker.html import page  # most workers never see one

    source, result = descriptors
    found = page.read(os.pread(source, request.size_bytes, 0), request.media_type)
    with open(result, "wb", closefd=False) as file:
        file.write(msgspec.msgpack.encode(found))
    seal_result(result)
    return PageRead()


def _mapped(descriptor: int, size_bytes: int, *, is_read_whole: bool) -> bytes | mmap.mmap:
    if size_bytes == 0:
        return b""
    # A probe reads a few pages of many: to map them all would be most of its cost.
    flags = mmap.MAP_SHARED | (mmap.MAP_POPULATE if is_read_whole else 0)
    return mmap.mmap(descriptor, size_bytes, flags=flags, prot=mmap.PROT_READ)


def _say(connection: socket.socket, reply: Reply) -> None:
    os.write(connection.fileno(), wire.frame(reply))


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)
