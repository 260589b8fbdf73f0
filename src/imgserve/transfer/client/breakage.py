"""libcurl's error numbers in our words: the one map from them to ``Broken``. Called by ``curl`` and ``watch``.

Where the FTP server said no, its last reply says more than libcurl's number: 4yz can heal, 5yz cannot (RFC 959, 4.2).
"""

import pycurl

from imgserve.transfer.client import statuses
from imgserve.transfer.client.exchange import Exchange
from imgserve.transfer.client.location import Origin
from imgserve.transfer.client.statuses import LOG, LOGIN
from imgserve.transfer.faults import Broken, Step

_TOO_LARGE = 100  # CURLE_TOO_LARGE, which pycurl has no name for
_LATE = (
    "{place} did not answer in time", True,
    "look at that server and the network, or allow more time (the settings ..._timeout_s)",
)  # fmt: skip
_CLOSED = ("{place} broke the connection", True, LOG)
_UNDECODABLE = ("{place} sends a body that cannot be decoded as its Content-Encoding says", False, LOG)
# number -> the sentence, whether time can heal the fault, and the remedy
_FAULTS: dict[int, tuple[str, bool, str]] = {
    pycurl.E_UNSUPPORTED_PROTOCOL: ("{place} does not answer by HTTP", False, "check scheme and port of the URL"),
    pycurl.E_URL_MALFORMAT: ("{place} is not part of a URL that can be used", False, "check the URL"),
    pycurl.E_COULDNT_RESOLVE_HOST: (
        "There is no host {place}", True, "check the host's name, and whether this machine can resolve it",
    ),
    pycurl.E_COULDNT_RESOLVE_PROXY: (
        "{place} cannot be reached: there is no host of the proxy's name", True, "check the setting proxy",
    ),
    pycurl.E_COULDNT_CONNECT: (
        "{place} does not accept connections", True, "check that it runs, and host, port and firewall",
    ),
    pycurl.E_REMOTE_ACCESS_DENIED: (
        "{place} denies access to the directory", False, "give that login the right to it, or check the path",
    ),
    pycurl.E_PARTIAL_FILE: ("{place} ended the transfer early", True, LOG),
    pycurl.E_OPERATION_TIMEDOUT: _LATE,
    pycurl.E_SSL_CONNECT_ERROR: (
        "{place} does not speak TLS as it should", True, "check its port, and that it speaks TLS 1.2 or newer",
    ),
    pycurl.E_TOO_MANY_REDIRECTS: ("{place} redirects too often", False, "use the URL that the redirects lead to"),
    pycurl.E_GOT_NOTHING: ("{place} closed the connection without an answer", True, LOG),
    pycurl.E_SEND_ERROR: _CLOSED,
    pycurl.E_RECV_ERROR: _CLOSED,
    pycurl.E_SSL_CACERT_BADFILE: (
        "{place} cannot be judged: this server cannot read its list of authorities", False, "check the setting ca_file",
    ),
    pycurl.E_LOGIN_DENIED: ("{place} refuses the login", False, LOGIN),
    pycurl.E_FTP_SSL_FAILED: (
        "{place} refuses TLS for commands or data, and nothing is sent without it", False,
        "have it allow TLS, or use ftp:// within a network that can be trusted",
    ),
    pycurl.E_REMOTE_FILE_NOT_FOUND: ("{place} has no such file", False, "check the path"),
    pycurl.E_UPLOAD_FAILED: (
        "{place} does not allow the file to be stored", True,
        "give that login the right to write there, or check the path",
    ),
    pycurl.E_QUOTE_ERROR: ("{place} does not allow files to be renamed", True, LOG),
    _TOO_LARGE: ("{place} answers with a line that is longer than any has to be", False, LOG),
    pycurl.E_BAD_CONTENT_ENCODING: _UNDECODABLE,
    pycurl.E_WRITE_ERROR: _UNDECODABLE,  # bytes behind the encoded ones; our own refusals have faults of their own
}  # fmt: skip
_UNEXPECTED = ("{place} does not behave as expected (libcurl error {number})", True, LOG)
_TRUST = ("is by an authority that is not trusted", "name its authority's with --ca-file")
# OpenSSL's verify result (X509_V_*) -> the fault and the remedy; libcurl leaves 1 when only the name does not match
_CERTIFICATE_FAULTS = {
    1: ("is made out to another name", "use the name that it is made out to"),
    9: ("is not valid yet", "set the clock, here or there"),
    10: ("has expired", "renew it there"),
    18: ("is signed by itself", "name it, or its authority's, with --ca-file"),
    19: _TRUST,
    20: (_TRUST[0], f"{_TRUST[1]}, or have that server send the intermediate ones too"),
}
_UNVERIFIED = ("cannot be verified", "see with openssl s_client what it shows")
# With any other number the last reply is an older one, which libcurl was to ignore, and not the reason.
_SAID_NO = frozenset({
    pycurl.E_FTP_WEIRD_SERVER_REPLY, pycurl.E_REMOTE_ACCESS_DENIED, pycurl.E_FTP_WEIRD_PASS_REPLY,
    pycurl.E_FTP_WEIRD_PASV_REPLY, pycurl.E_FTP_WEIRD_227_FORMAT, pycurl.E_FTP_COULDNT_SET_TYPE, pycurl.E_PARTIAL_FILE,
    pycurl.E_FTP_COULDNT_RETR_FILE, pycurl.E_QUOTE_ERROR, pycurl.E_UPLOAD_FAILED, pycurl.E_LOGIN_DENIED,
    pycurl.E_FTP_SSL_FAILED, pycurl.E_REMOTE_DISK_FULL, pycurl.E_REMOTE_FILE_NOT_FOUND,
})  # fmt: skip
_CLOSING = 421  # libcurl calls it a time-out
# Errors of a command on a connection that the other side has closed, by TCP or by TLS.
_LOST = frozenset({
    pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR, pycurl.E_GOT_NOTHING, pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_FTP_WEIRD_SERVER_REPLY,
})  # fmt: skip
_STEPS: dict[int, Step] = {
    pycurl.E_REMOTE_ACCESS_DENIED: "directory",
    pycurl.E_UPLOAD_FAILED: "file",
    pycurl.E_PARTIAL_FILE: "file",
    pycurl.E_QUOTE_ERROR: "command",
}


def broken_by(number: int, exchange: Exchange, place: Origin) -> Broken:
    """Turns a failed exchange into ``Broken``."""
    refusal = exchange.refusal
    if refusal is not None and number != pycurl.E_OPERATION_TIMEDOUT:
        return Broken(refusal.detail, refusal.hint, is_refused=True)
    sentence, is_retryable, remedy = _FAULTS.get(number, _UNEXPECTED)
    detail = sentence.format(place=place, number=number)
    if number == pycurl.E_PEER_FAILED_VERIFICATION:
        result = exchange.curl.getinfo(pycurl.SSL_VERIFYRESULT)
        fault, remedy = _CERTIFICATE_FAULTS.get(result, _UNVERIFIED)
        return Broken(f"The TLS certificate of {place} {fault}", remedy)
    connected = exchange.curl.getinfo(pycurl.HTTP_CONNECTCODE)
    if connected >= 300:
        detail = f"The proxy does not connect to {place} (it answered {connected})"
        return Broken(detail, statuses.remedy(connected), is_retryable=connected >= 500)
    reply = exchange.replies.last
    is_reused, is_sent = exchange.is_reused, exchange.is_sent()
    is_undone = is_reused and not is_sent and exchange.is_repeatable
    if reply >= 400 and (number in _SAID_NO or reply == _CLOSING):
        return Broken(
            f"{detail} (it answered {reply})",
            remedy,
            is_retryable=reply < 500,
            is_reused=is_reused,
            is_stale=reply == _CLOSING and is_undone,
            step=_STEPS.get(number, ""),
            reply=reply,
            replies=exchange.replies.finals,
        )
    return Broken(
        detail,
        remedy,
        is_retryable=is_retryable,
        is_sent=is_sent,
        is_reused=is_reused,
        is_stale=number in _LOST and is_undone,
        is_plain=number == pycurl.E_BAD_CONTENT_ENCODING and exchange.is_plain,
        replies=exchange.replies.finals,
    )


def late(place: Origin, *, is_stale: bool = False) -> Broken:
    sentence, is_retryable, remedy = _LATE
    return Broken(sentence.format(place=place), remedy, is_retryable=is_retryable, is_stale=is_stale)
