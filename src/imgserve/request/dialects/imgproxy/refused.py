"""The statuses that this dialect itself refuses a URL with, and their bodies. ``detail`` is for the log alone."""

from typing import ClassVar

from imgserve.request.dialects.dialect import UrlRefused


class ImgproxyRefused(UrlRefused):
    """``body`` is the answer's whole text: it tells nothing about the server."""

    body: ClassVar[bytes] = b"Invalid URL"


class InvalidUrl(ImgproxyRefused):
    """Not of the grammar, expired, or an option that is not offered."""

    status = 404


class Forbidden(ImgproxyRefused):
    """The signature is wrong or missing."""

    status = 403
    body = b"Forbidden"


class OptionForbidden(ImgproxyRefused):
    """A security option, which the settings do not allow."""

    status = 403


class FormatUnsupported(ImgproxyRefused):
    """A known format that is not written here."""

    status = 422


class PictureRefused(ImgproxyRefused):
    """The source or the result has more pixels than allowed."""

    status = 422
    body = b"Invalid source image"
