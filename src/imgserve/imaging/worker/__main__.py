"""The worker: closes the sandbox, then answers requests from the socket until the socket closes.

Started by ``imaging/process.py`` with the socket's number, the sandbox mode, the memory limit, the libvips that it may
use, its role (worker, or template that forks workers: ``template.py``) and further directories of fonts. It has no
network, no credentials, and no files but fonts; pictures come and go as descriptors. Everything is imported before the
sandbox closes, except the reader of upload pages, which the first page imports or the template, and the decoders of
rare formats.
"""

import functools
import gc
import mmap
import os
import select
import socket
import sys
import time
import traceback
from typing import cast

import msgspec

from imgserve.imaging.worker.repair import WHEEL, repair_command

try:
    import pyvips
except (ImportError, OSError) as error:  # no extension that can be loaded, and no libvips of the system either
    sys.exit(f"the package {WHEEL} is missing or broken ({error}): install it anew with {repair_command()}")

from imgserve.blob import seal_result
from imgserve.errors import ImgserveError, let_go
from imgserve.imaging import faults, messages, wire
from imgserve.imaging.messages import Failed, FaultCode, Ready, Reply, Request
from imgserve.imaging.worker import draw, fonts, library, pipeline, probe, sandbox, save, template, vips
from imgserve.imaging.worker.pixelcache import UNCACHED, Batches, PixelCache
from imgserve.imaging.worker.source import Data
from imgserve.imaging.worker.svg import sanitize, watch
from imgserve.request.wish import rendering_of

COLLECT_AFTER = 20_000
PROBE_CPU_S = 0.2
TRIM_AFTER_S = 1.0  # a next picture within this time uses the freed memory again
TRIM_EVERY_S = 30.0  # without a pause: what a large picture needed, the small ones behind it do not
SVG_MEMORY_BYTES = 800_000_000  # a raster picture at the limits may need more, but its header tells its size


def main(arguments: list[str]) -> None:
    descriptor, mode, memory_limit_bytes = int(arguments[0]), cast(sandbox.Mode, arguments[1]), int(arguments[2])
    connection = socket.socket(fileno=descriptor)
    try:
        system_libvips = library.describe(is_system_allowed=arguments[3] == messages.SYSTEM_LIBVIPS)
        sandbox.give_up_privileges(memory_limit_bytes)
        vips.configure()
        font_dirs = msgspec.json.decode(arguments[5], type=tuple[str, ...])
        if arguments[4] == messages.TEMPLATE:
            template.run(
                connection,
                mode,
                font_dirs,
                lambda state: _say(connection, Ready(state, system_libvips)),
                lambda own, state: _serve(own, Ready(state, system_libvips)),
            )
        else:
            _serve(connection, Ready(_close_sandbox(mode, font_dirs), system_libvips))
    except (library.LibraryRefused, sandbox.SandboxImpossible, fonts.NoPlace, pyvips.Error) as error:
        _say(connection, messages.CannotStart(str(error)))


def _close_sandbox(mode: sandbox.Mode, font_dirs: tuple[str, ...]) -> str:
    sandbox.offer_to_die_first()
    watch.own_figures()
    if font_dirs:
        vips.list_fonts(font_dirs)
        template.wait_until_alone()
    files = sandbox.close_files(mode, sandbox.rules_for_files(mode, font_dirs))
    vips.warm_up()
    system_calls = sandbox.close_system_calls(mode)
    sandbox.silence()
    return sandbox.state(files, system_calls)


def _serve(connection: socket.socket, ready: Ready) -> None:
    """Report that the worker is ready, then answer one request after the other until the server hangs up."""
    _say(connection, ready)
    gc.freeze()  # the modules stay, and pictures leave too few cycles to search after each
    gc.set_threshold(COLLECT_AFTER)
    batches, trimmed_at = Batches(), time.monotonic()
    while (received := wire.receive_request(connection)) is not None:
        request, descriptors = received
        try:
            cache = batches.cache(_batch_of(request))
            reply = _answer(request, descriptors, functools.partial(_give_up, connection), cache)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        _say(connection, reply)
        is_idle = not select.select([connection], [], [], TRIM_AFTER_S)[0]
        if is_idle:
            batches.cache()
        if is_idle or time.monotonic() - trimmed_at >= TRIM_EVERY_S:
            vips.give_memory_back()
            trimmed_at = time.monotonic()


def _batch_of(request: Request) -> int:
    return request.batch if isinstance(request, messages.RenderRequest | messages.TrimRequest) else 0


def _answer(request: Request, descriptors: list[int], give_up: watch.GiveUp, cache: PixelCache) -> Reply:
    try:
        return _result(request, descriptors, give_up, cache)
    except tuple(faults.REPORTED.values()) as fault:
        let_go(fault)  # its frames hold the maps of the pictures, each with a descriptor, of which a worker has few
        return _failed(fault)
    except Exception as error:  # noqa: BLE001 - the worker loop: a fault of ours must not look like a codec's crash
        trace = "".join(traceback.format_exception(error))
        let_go(error)
        return Failed("render_failed", "imgserve met an unexpected fault while rendering", trace=trace[-8000:])


def _failed(fault: ImgserveError, *, is_last: bool = False, is_of_header: bool = False) -> Failed:
    code = cast(FaultCode, fault.code)
    return Failed(code, fault.detail, fault.hint, fault.path, is_last=is_last, is_of_header=is_of_header)


def _give_up(connection: socket.socket, fault: ImgserveError) -> None:
    _say(connection, _failed(fault, is_last=True))
    os._exit(0)


def _result(request: Request, descriptors: list[int], give_up: watch.GiveUp, cache: PixelCache) -> Reply:
    match request:
        case messages.ProbeRequest():
            data = _mapped(descriptors[0], is_read_whole=False) if descriptors else request.head
            info = probe.probe(
                data,
                request.limits,
                is_complete=request.is_complete,
                source_bytes=request.source_bytes,
                options=request.load,
                watched=functools.partial(watch.cpu_time, give_up, PROBE_CPU_S),
            )
            return messages.Probed(info, info is None and probe.needs_whole(data, request.load))
        case messages.InspectRequest():
            from imgserve.imaging.worker.inspection.inspect import inspect  # few workers are asked

            watched = functools.partial(watch.memory, give_up, SVG_MEMORY_BYTES)
            return inspect(_mapped(descriptors[0], is_read_whole=True), request.include, request.limits, watched)
        case messages.TrimRequest():
            watched = functools.partial(watch.memory, give_up, SVG_MEMORY_BYTES)
            data = _mapped(descriptors[0], is_read_whole=True)
            left, top, size = pipeline.trimmed(data, request.recipe, request.format, request.limits, watched, cache)
            return messages.TrimBox(left, top, size.width_px, size.height_px)
    reply, is_written = _file(request, descriptors, give_up, cache)
    if is_written:
        seal_result(descriptors[-1])
    return reply


def _file(
    request: messages.RenderRequest
    | messages.MakeRequest
    | messages.DrawRequest
    | messages.SanitizeRequest
    | messages.PageRequest,
    descriptors: list[int],
    give_up: watch.GiveUp,
    cache: PixelCache,
) -> tuple[Reply, bool]:
    """The result's descriptor is the last one. Whether it was written, and is to be sealed."""
    match request:
        case messages.RenderRequest():
            return _rendered(request, descriptors, give_up, cache), True
        case messages.MakeRequest():
            made = _made(request, descriptors, give_up)
            return made, isinstance(made, messages.Made) and made.written is not None
        case messages.DrawRequest():
            return draw.draw(request.drawing, request.limits, descriptors[-1]), True
        case messages.SanitizeRequest():
            watched = functools.partial(watch.memory, give_up, SVG_MEMORY_BYTES)
            document = sanitize.sanitized(_mapped(descriptors[0], is_read_whole=True), request.limits, watched)
            if document is not None:
                save.write_bytes(document, descriptors[-1])
            return messages.Sanitized(is_possible=document is not None), document is not None
        case messages.PageRequest():
            from imgserve.imaging.worker.html import page  # most workers never see one

            contents = page.read(bytes(_mapped(descriptors[0], is_read_whole=True)), request.media_type)
            save.write_bytes(msgspec.msgpack.encode(contents), descriptors[-1])
            return messages.PageRead(), True


def _made(request: messages.MakeRequest, descriptors: list[int], give_up: watch.GiveUp) -> messages.Made | Failed:
    """The server tells what is wrong with a wish: it finds the same for the same header."""
    *sources, result_fd = descriptors
    data = _mapped(sources[0], is_read_whole=True) if sources else request.source
    limits = request.limits
    watched = functools.partial(watch.cpu_time, give_up, PROBE_CPU_S)
    try:
        info = probe.probe(data, limits, is_complete=True, options=request.load, watched=watched)
    except tuple(faults.REPORTED.values()) as fault:
        let_go(fault)
        return _failed(fault, is_of_header=True)
    assert info is not None, "a complete source is always decided"
    try:
        rendering = rendering_of(request.wish, info, limits, request.defaults)
    except ImgserveError as error:
        let_go(error)
        rendering = None
    if rendering is None:
        return messages.Made(info)
    render = functools.partial(pipeline.render, data, rendering, limits, result_fd)
    if not info.is_svg:
        return messages.Made(info, render())
    with watch.cpu_time(give_up, request.svg_cpu_s, faults.too_slow(request.svg_cpu_s)):
        return messages.Made(info, render(functools.partial(watch.memory, give_up, SVG_MEMORY_BYTES)))


def _rendered(
    request: messages.RenderRequest, descriptors: list[int], give_up: watch.GiveUp, cache: PixelCache
) -> messages.Written:
    data, *further = (_mapped(descriptor, is_read_whole=True) for descriptor in descriptors[:-1])
    watched = functools.partial(watch.memory, give_up, SVG_MEMORY_BYTES)
    dear = functools.partial(watch.time_and_memory, give_up, request.svg_cpu_s, SVG_MEMORY_BYTES)
    rendering, limits, result_fd = request.rendering, request.limits, descriptors[-1]
    render = functools.partial(pipeline.render, data, rendering, limits, result_fd, watched, further, dear)
    try:
        return render(cache)
    except (faults.SourceUnreadable, faults.RenderFailed, pyvips.Error, MemoryError) as error:
        if not cache:
            raise
        let_go(error)
    cache.clear()  # it may have lacked the memory that it would have had alone
    os.lseek(result_fd, 0, os.SEEK_SET)
    os.ftruncate(result_fd, 0)
    return render(UNCACHED)


def _mapped(descriptor: int, *, is_read_whole: bool) -> Data:
    size_bytes = os.fstat(descriptor).st_size
    if size_bytes == 0:
        return b""
    # A probe reads a few pages of memory; mapping all of them would be most of its cost.
    flags = mmap.MAP_SHARED | (mmap.MAP_POPULATE if is_read_whole else 0)
    return mmap.mmap(descriptor, size_bytes, flags=flags, prot=mmap.PROT_READ)


def _say(connection: socket.socket, reply: Reply) -> None:
    os.write(connection.fileno(), wire.packet(reply))


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)
