"""Remedies for transfers that a server or this machine refused, for readers of the reply and the log.

Called by the protocols' files where they turn an answer into a fault; empty where only that server's own log has more.
"""

import errno

import pycurl

_LOG = "look at that server's log"
SLOW = "look at that server and the network, or allow more time (the settings ..._timeout_s)"
_LOGIN = "check user name and password in the URL; special characters in them are written %XX"
_BY_NUMBER: dict[int, str] = {
    pycurl.E_UNSUPPORTED_PROTOCOL: "check scheme and port of the URL",
    pycurl.E_URL_MALFORMAT: "check the URL",
    pycurl.E_COULDNT_RESOLVE_HOST: "check the host's name, and whether this machine can resolve it",
    pycurl.E_COULDNT_RESOLVE_PROXY: "check the setting proxy",
    pycurl.E_COULDNT_CONNECT: "check that it runs, and host, port and firewall",
    pycurl.E_REMOTE_ACCESS_DENIED: "give that login the right to it, or check the path",
    pycurl.E_PARTIAL_FILE: _LOG,
    pycurl.E_OPERATION_TIMEDOUT: SLOW,
    pycurl.E_SSL_CONNECT_ERROR: "check its port, and that it speaks TLS 1.2 or newer",
    pycurl.E_TOO_MANY_REDIRECTS: "use the URL that the redirects lead to",
    pycurl.E_GOT_NOTHING: _LOG,
    pycurl.E_SEND_ERROR: _LOG,
    pycurl.E_RECV_ERROR: _LOG,
    pycurl.E_SSL_CACERT_BADFILE: "check the setting ca_file",
    pycurl.E_LOGIN_DENIED: _LOGIN,
    pycurl.E_FTP_SSL_FAILED: "have it allow TLS, or use ftp:// within a network that can be trusted",
    pycurl.E_REMOTE_FILE_NOT_FOUND: "check the path",
    pycurl.E_UPLOAD_FAILED: "give that login the right to write there, or check the path",
}
# OpenSSL's verify result (X509_V_*), as in ``breakage``.
_BY_VERIFY_RESULT = {
    1: "use the name that it is made out to",
    9: "set the clock, here or there",
    10: "renew it there",
    18: "name it, or its authority's, with --ca-file",
    19: "name its authority's with --ca-file",
    20: "name its authority's with --ca-file, or have that server send the intermediate ones too",
}
_BY_STATUS = {
    401: _LOGIN,
    403: "give the login, or this machine's address, the right to it",
    404: "check the path of the URL",
    405: "check that this URL takes such a request",
    407: "check user name and password in the setting proxy",
    409: "make the directory above it first",
    410: "check the path of the URL",
    411: _LOG,
    413: "raise the largest body that it takes",
    429: "it asks for fewer requests: lower max_transfers_per_host",
    507: "free disk space there",
}
_FORBIDDEN = 403
_BY_ERRNO = {
    errno.ENOENT: "check the path: a directory of it can neither be found nor made",
    errno.EACCES: "give the server's user the right to it",
    errno.EPERM: "give the server's user the right to it",
    errno.ENOSPC: "free disk space there",
    errno.EDQUOT: "free disk space there",
    errno.EROFS: "mount it for writing",
    errno.ENOTDIR: "a file stands in the path where a directory is needed",
    errno.EISDIR: "it is a directory, expected a file",
    errno.ELOOP: "a symbolic link stands in the path; name what it leads to",
    errno.EIO: "mend the disk",
}


def by_number(number: int) -> str:
    return _BY_NUMBER.get(number, _LOG)


def by_verify_result(result: int) -> str:
    return _BY_VERIFY_RESULT.get(result, "see with openssl s_client what it shows")


def by_status(status: int, *, is_write: bool = False) -> str:
    """``status``: HTTP's."""
    led = "use the URL that it redirects to" if is_write else "use the picture's own URL"
    if status == _FORBIDDEN and not is_write:
        return f"{_BY_STATUS[status]}; if it wants a Referer, the setting referer gives it one"
    usual = led if 300 <= status < 400 else _LOG if status >= 400 else ""
    return _BY_STATUS.get(status, usual)


def by_errno(number: int | None) -> str:
    return _BY_ERRNO.get(number or 0, "")
