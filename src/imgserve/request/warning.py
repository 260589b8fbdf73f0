"""Warnings: a picture was finished, but perhaps not as its sender expects. The worker gives them, jobs show them."""

from typing import Annotated, Literal

import msgspec

MOST_WARNINGS = 20
MOST_DETAIL = 500

WarningCode = Literal["font_missing"]


class OutputWarning(msgspec.Struct, frozen=True):
    """About one output. ``detail`` is one sentence."""

    code: WarningCode
    detail: Annotated[str, msgspec.Meta(max_length=MOST_DETAIL)]


Warnings = Annotated[tuple[OutputWarning, ...], msgspec.Meta(max_length=MOST_WARNINGS)]
