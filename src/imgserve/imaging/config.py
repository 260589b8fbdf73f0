"""The render pool's settings. Read by ``settings``, used by ``pool``."""

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from imgserve.setting import Count, Problem, Seconds, Setting, Texts

Sandbox = Literal["auto", "require", "off"]
Isolation = Literal["principal", "picture", "shared"]
# More processes than any machine has CPUs; a mistyped million would fill it.
Workers = Annotated[int, msgspec.Meta(ge=1, le=1024)]
# A worker maps the libraries before its first picture; with less it cannot start at all.
WorkerMemory = Annotated[int, msgspec.Meta(ge=500_000_000)]


class Config(msgspec.Struct, frozen=True):
    """``workers`` render at the same time; the intake worker and those that stand ready come on top.

    ``isolation``: whose pictures one process may read: one principal's, a single one, everybody's.
    """

    # fmt: off
    workers: Annotated[Workers, Setting(
        "render processes", default="one per CPU",
        metavar="N")] = msgspec.field(default_factory=lambda: os.cpu_count() or 1)
    render_timeout_s: Annotated[Seconds, Setting("a render is killed after this time", "seconds")] = 15.0
    svg_timeout_s: Annotated[Seconds, Setting("the same for an SVG", "seconds")] = 5.0
    probe_timeout_s: Annotated[Seconds, Setting(
        "the same for reading a header and for drawing a placeholder", "seconds")] = 5.0
    recycle_after: Annotated[Count, Setting("renders after which a worker is replaced")] = 1000
    memory_limit_bytes: Annotated[WorkerMemory, Setting(
        "address space of a worker", "bytes", name="worker_memory_bytes")] = 2_500_000_000
    sandbox: Annotated[Sandbox, Setting(
        "`require`: refuse to start without Landlock and seccomp", metavar="MODE")] = "auto"
    isolation: Annotated[Isolation, Setting(
        "pictures that one worker may read: those of one key (`principal`), a single one (`picture`), "
        "all (`shared`)")] = "principal"
    allow_system_libvips: Annotated[bool, Setting(
        "`true`: accept a libvips other than the tested one of the package `pyvips-binary`")] = False
    font_dirs: Annotated[Texts, Setting(
        "fonts for text in SVGs, beside those of the system: all beneath this directory", metavar="DIR")] = ()
    # fmt: on

    def problems(self) -> tuple[Problem, ...]:
        return tuple(
            Problem("font_dirs", f"{directory} is no directory", (index,))
            for index, directory in enumerate(self.font_dirs)
            if not Path(directory).is_dir()
        )
