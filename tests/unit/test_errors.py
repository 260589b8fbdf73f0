"""What an error holds after it was answered."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator

import pytest

from imgserve.errors import ImgserveError, let_go
from imgserve.request.faults import Fault, RequestInvalid, beneath


class Body:
    """What a request holds."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def late(body: Body) -> None:
    """Fails as a request for which no worker is free: its error has causes, and is a variable of frames."""
    with beneath("source"):
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            error = ImgserveError(f"no worker was free for {body}")
            raise error from None


def refuse(number: int) -> None:
    raise ImgserveError(f"output {number} is refused")


def refusal(number: int) -> ImgserveError:
    try:
        refuse(number)
    except ImgserveError as error:
        return error
    raise AssertionError("it is refused")


async def several(_body: Body) -> None:
    """Fails as a job with several faults, of which one is raised and has the others."""
    first, *others = map(refusal, range(3))
    first.others = tuple(others)
    raise first


async def invalid(_body: Body) -> None:
    """Fails as a request with faults, which are one error."""
    error = RequestInvalid(Fault("field_invalid", note="expected another value"))
    raise error


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("failing", [late, several, invalid])
@pytest.mark.parametrize("is_let_go", [True, False])
async def test_an_answered_error_keeps_nothing_of_its_request(
    failing: Callable[[Body], Awaitable[None]], is_let_go: bool
) -> None:
    body = Body()
    ref = weakref.ref(body)
    try:
        await failing(body)
    except ImgserveError as error:
        if is_let_go:
            let_go(error)
    del body
    assert (ref() is None) == is_let_go


def test_an_error_that_was_let_go_can_be_raised_again() -> None:
    error = ImgserveError("a known one")
    for _ in range(3):
        with pytest.raises(ImgserveError) as raised:
            raise error
        let_go(raised.value)
        assert error.__traceback__ is None
