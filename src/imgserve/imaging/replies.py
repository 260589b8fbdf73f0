"""What a worker's reply means to who asked: the kind that was expected, or the fault it tells of. For ``pool``."""

from typing import TypeVar

from imgserve.errors import ImgserveError
from imgserve.imaging.faults import PictureTooLarge, RenderFailed, SourceUnreadable, SvgInvalid, WorkerDied
from imgserve.imaging.messages import Failed, FaultCode, Probed, Reply, Written

_Kind = TypeVar("_Kind", Probed, Written)
_FAULTS: dict[FaultCode, type[ImgserveError]] = {
    "source_unreadable": SourceUnreadable,
    "svg_invalid": SvgInvalid,
    "picture_too_large": PictureTooLarge,
    "render_failed": RenderFailed,
}


def fault_of(reply: Failed) -> ImgserveError:
    return _FAULTS[reply.code](reply.detail, reply.hint)


def expect(kind: type[_Kind], reply: Reply) -> _Kind:
    """Raises WorkerDied for another kind: what says such things is no worker of ours any more."""
    if not isinstance(reply, kind):
        raise WorkerDied("the render worker gave an answer of the wrong kind", "try again")
    return reply
