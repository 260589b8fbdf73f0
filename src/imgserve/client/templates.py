"""What templates hand over, as the arguments of ``urls``. For the helpers of Django and Jinja."""

from collections.abc import Callable, Iterable
from typing import Any

from imgserve.client.errors import OptionInvalid
from imgserve.client.urls import ImgproxyUrls, ThumborUrls, Urls

DIALECTS: dict[str, Callable[..., Urls]] = {"imgproxy": ImgproxyUrls, "thumbor": ThumborUrls}


def source_of(value: Any) -> str:
    """A URL as it is; of a file of a model, as Django's ImageField has it, its ``url``. Raises OptionInvalid."""
    text = value if isinstance(value, str) else getattr(value, "url", None)
    if not isinstance(text, str) or not text:
        raise OptionInvalid(f"expected the URL of a picture, or a file with one, got {value!r}")
    return text


def widths_of(value: Any) -> list[int]:
    """Raises OptionInvalid."""
    try:
        return [int(one) for one in (value.split(",") if isinstance(value, str) else _iterated(value))]
    except (TypeError, ValueError):
        raise OptionInvalid(f'expected widths such as "320,640,1280", got {value!r}') from None


def _iterated(value: Any) -> Iterable[Any]:
    return (value,) if isinstance(value, int) else value
