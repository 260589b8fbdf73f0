"""The faults of a request: every parser of this package raises ``RequestInvalid``, and the API answers with it."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import msgspec

from imgserve.errors import ImgserveError

P = ParamSpec("P")
T = TypeVar("T")


class Fault(msgspec.Struct, frozen=True, order=True):
    """One thing that is wrong with a request: the classic code and one sentence that names the field."""

    classic_code: int
    detail: str


class RequestInvalid(ImgserveError):
    """A request that cannot be carried out as it stands; the lowest code speaks, ``detail`` names all faults."""

    code = "request_invalid"
    status = 422
    title = "The request is invalid"

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = tuple(sorted(faults))
        self.number = self.faults[0].classic_code
        super().__init__("; ".join(fault.detail for fault in self.faults))

    @classmethod
    def of(cls, classic_code: int, detail: str) -> "RequestInvalid":
        return cls((Fault(classic_code, detail),))


class Findings:
    """The faults of one step, gathered so that the caller gets all of them at once."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def add(self, classic_code: int, detail: str) -> None:
        self.faults.append(Fault(classic_code, detail))

    def attempt(self, parse: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """The value of ``parse``, or None with its faults stored here."""
        try:
            return parse(*args, **kwargs)
        except RequestInvalid as invalid:
            self.faults.extend(invalid.faults)
            return None

    def settle(self) -> None:
        """Raise RequestInvalid if anything was found."""
        if self.faults:
            raise RequestInvalid(tuple(self.faults))
