"""The render pool's settings. Read by ``settings``, used by ``pool``."""

import os
from typing import Literal

import msgspec

Sandbox = Literal["auto", "require", "off"]
Isolation = Literal["principal", "picture", "shared"]


class Config(msgspec.Struct, frozen=True):
    """``workers`` render at the same time; the intake worker and those that stand ready come on top.

    ``isolation``: whose pictures one process may read: one principal's, a single one, everybody's.
    """

    workers: int = msgspec.field(default_factory=lambda: os.cpu_count() or 1)
    render_timeout_s: float = 15.0
    svg_timeout_s: float = 5.0
    probe_timeout_s: float = 5.0
    recycle_after: int = 1000
    memory_limit_bytes: int = 2_500_000_000
    sandbox: Sandbox = "auto"
    isolation: Isolation = "principal"
    allow_system_libvips: bool = False
