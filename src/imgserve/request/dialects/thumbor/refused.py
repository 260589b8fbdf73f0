"""The errors of thumbor's URLs, one class for each status: thumbor has 400 alone, imagor the others too."""

from imgserve.request.dialects.dialect import UrlRefused


class BadUrl(UrlRefused):
    """Not of the grammar, not signed rightly (in thumbor), or a size that no picture can have."""


class NotSigned(UrlRefused):
    """imagor: the signature does not match."""

    status = 403


class UrlExpired(UrlRefused):
    """imagor: the time of ``expire`` is over."""

    status = 410


class FormatUnknown(UrlRefused):
    """imagor: the format cannot be written here."""

    status = 406


class SizeTooLarge(UrlRefused):
    """imagor: beyond its largest side."""

    status = 422
