"""The properties of the schemes of URLs and of the kinds of destinations.

A new protocol is a row here, a file in ``transfer/protocols`` and its line in ``transfer/dispatch``. No other code
compares the name of a scheme or kind.
"""

from typing import Literal

import msgspec

# upload: the picture came with its request. No URL has that scheme, so it has no row.
SchemeName = Literal["http", "https", "ftp", "ftps", "ftpes", "file", "s3", "upload"]
DestinationKind = Literal["file", "ftp", "put", "form", "s3"]
SourceKind = Literal["file", "ftp", "http", "s3", "upload"]


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """``source``: the protocol that reads it. ``destination``: the one kind that writes it; None: the request chooses.

    ``port`` is the default; a scheme of this machine, or of buckets, has none. ``explicit``: the scheme that a URL with
    that scheme's port has in truth. ``libcurl``: libcurl's name, if it differs. ``anonymous``: the user name that means
    no login. ``names_file``: the path has neither query nor fragment and ends with a file's name. ``is_path_decoded``:
    the path goes to the server decoded, so that %2F is a slash and a control character would be part of a command.
    ``takes_headers``, ``takes_credential``: requests may carry headers of the job, or a credential of the settings.
    ``has_bucket``: in place of the host stands the name of a bucket, and a credential says which server has it.
    """

    source: SourceKind
    destination: DestinationKind | None = None
    port: int | None = None
    libcurl: str = ""
    explicit: str = ""
    anonymous: str = ""
    has_tls: bool = False
    names_file: bool = False
    is_path_decoded: bool = False
    takes_headers: bool = False
    takes_credential: bool = False
    has_bucket: bool = False

    @property
    def is_local(self) -> bool:
        return self.port is None and not self.has_bucket


class Writing(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of destination. ``can_delete``: a written file can be deleted.

    ``keeps_order``: the last write to arrive was sent last, even after an unanswered one. ``is_repeatable``: a repeated
    write does no harm, and a later write replaces an earlier one; otherwise writes go one after the other, and none is
    cancelled or superseded. ``verifies``: a later write can check that the file there is imgserve's. ``is_page``: the
    URL is a page's, with the file's name behind its last colon. ``is_name_decoded``: the file's name is
    percent-decoded, no part of a URL. ``is_browsable``: a browser finds the result at the URL. ``is_marked``: a file
    carries a mark that tells whether imgserve wrote it, and as what.
    """

    can_delete: bool = True
    keeps_order: bool = True
    is_repeatable: bool = True
    verifies: bool = False
    is_page: bool = False
    is_name_decoded: bool = False
    is_browsable: bool = False
    is_marked: bool = False


def _ftp(port: int, libcurl: str = "", explicit: str = "", *, has_tls: bool = False) -> Scheme:
    return Scheme(
        source="ftp", destination="ftp", port=port, libcurl=libcurl, explicit=explicit, anonymous="anonymous",
        has_tls=has_tls, names_file=True, is_path_decoded=True,
    )  # fmt: skip


def _web(port: int, *, has_tls: bool = False) -> Scheme:
    return Scheme(source="http", port=port, has_tls=has_tls, takes_headers=True, takes_credential=True)


SCHEMES: dict[str, Scheme] = {
    "http": _web(80),
    "https": _web(443, has_tls=True),
    "ftp": _ftp(21),
    "ftps": _ftp(990, explicit="ftpes", has_tls=True),  # TLS from the first byte
    "ftpes": _ftp(21, libcurl="ftp", has_tls=True),  # by the command AUTH TLS
    "file": Scheme(source="file", destination="file", names_file=True),
    "s3": Scheme(
        source="s3",
        destination="s3",
        names_file=True,
        is_path_decoded=True,
        takes_headers=True,
        takes_credential=True,
        has_bucket=True,
    ),
}
WRITING: dict[DestinationKind, Writing] = {
    "file": Writing(verifies=True, is_name_decoded=True),
    "ftp": Writing(),
    "put": Writing(is_browsable=True, keeps_order=False),
    "form": Writing(can_delete=False, keeps_order=False, is_repeatable=False, is_page=True, is_name_decoded=True),
    # Conditions keep a late write from replacing another picture. One that replaces equal bytes they let pass.
    "s3": Writing(keeps_order=False, is_marked=True),
}
NOT_YET = frozenset({"sftp", "scp", "gs", "gcs", "az", "azure"})


def for_libcurl(url: str) -> str:
    """The URL with a scheme that libcurl knows."""
    word, colon, rest = url.partition(":")
    scheme = SCHEMES.get(word.lower())
    return f"{scheme.libcurl}{colon}{rest}" if scheme and scheme.libcurl else url
