"""The errors of IIIF URLs, one class for each status (Image API 3.0, section 7.3). ``detail`` is for the log alone."""

from imgserve.request.dialects.dialect import UrlRefused


class BadRequest(UrlRefused):
    """Not of the grammar, or a region, size or format that this picture or this server does not have."""

    title = "The URL is no valid IIIF request for this image"


class Unsigned(UrlRefused):
    """The mount wants signatures, which IIIF does not have."""

    status = 403
    title = "Unsigned URLs are not allowed here"


class NotFound(UrlRefused):
    """No identifier, or a path that is none of IIIF's."""

    status = 404
    title = "There is no such image"


class NotOffered(UrlRefused):
    """Valid, and beyond what this server does."""

    status = 501
    title = "This server does not offer that"
