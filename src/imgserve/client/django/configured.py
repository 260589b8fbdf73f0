"""``IMGSERVE`` of Django's settings, as the object that makes URLs. Called by the tags; programs may call it too."""

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from imgserve.client.errors import OptionInvalid
from imgserve.client.templates import DIALECTS
from imgserve.client.urls import Urls

_EXPECTED = 'IMGSERVE: expected {"DIALECT": "imgproxy", "BASE": "https://images.example.com", "KEY": …, "SALT": …}'


def urls() -> Urls:
    """The keys are the arguments of ``ImgproxyUrls`` or ``ThumborUrls`` in capitals. Raises ImproperlyConfigured."""
    given = getattr(settings, "IMGSERVE", None)
    if not isinstance(given, dict) or given.get("DIALECT") not in DIALECTS:
        raise ImproperlyConfigured(_EXPECTED)
    return _made(tuple(sorted(given.items())))


@lru_cache(maxsize=8)
def _made(given: tuple[tuple[str, Any], ...]) -> Urls:
    """Once for the same settings, which tests may change."""
    arguments = {name.lower(): value for name, value in given}
    try:
        return DIALECTS[arguments.pop("dialect")](**arguments)
    except OptionInvalid as error:
        raise ImproperlyConfigured(f"IMGSERVE: {error.sentence()}") from error
    except TypeError as error:
        raise ImproperlyConfigured(f"{_EXPECTED}: {error}") from error
