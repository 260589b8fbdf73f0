"""Turns libcurl's errors into ``ExchangeFailed``: the one map of their numbers. Called by ``curl`` and ``watch``.

An FTP server's last reply says more than libcurl's number: 4yz is transient, 5yz is permanent (RFC 959, 4.2).
"""

import pycurl

from imgserve import descriptors
from imgserve.descriptors import OutOfDescriptors
from imgserve.transfer.client import statuses
from imgserve.transfer.client.exchange import Exchange
from imgserve.transfer.client.location import Origin
from imgserve.transfer.client.statuses import LOG, LOGIN
from imgserve.transfer.faults import ExchangeFailed, Step

_TOO_LARGE = 100  # CURLE_TOO_LARGE, which pycurl has no name for
_TIME_OUT = ("{host} did not answer in time", True, "look at that server and the network, or raise ..._timeout_s")
_CLOSED = ("{host} broke the connection", True, LOG)
_UNDECODABLE = ("{host} sends a body that cannot be decoded as its Content-Encoding says", False, LOG)
# number -> the sentence, whether the error is transient, and the remedy
_ERRORS: dict[int, tuple[str, bool, str]] = {
    pycurl.E_UNSUPPORTED_PROTOCOL: ("{host} does not answer by HTTP", False, "check scheme and port of the URL"),
    pycurl.E_URL_MALFORMAT: ("{host} is not part of a URL that can be used", False, "check the URL"),
    pycurl.E_COULDNT_RESOLVE_HOST: ("There is no host {host}", True, "check the name, and this machine's resolver"),
    pycurl.E_COULDNT_RESOLVE_PROXY: ("There is no host of the proxy's name", True, "check the setting proxy"),
    pycurl.E_COULDNT_CONNECT: ("{host} does not accept connections", True, "check that it runs, port and firewall"),
    pycurl.E_REMOTE_ACCESS_DENIED: ("{host} denies access to the directory", False, "check its rights, and the path"),
    pycurl.E_PARTIAL_FILE: ("{host} ended the transfer early", True, LOG),
    pycurl.E_OPERATION_TIMEDOUT: _TIME_OUT,
    pycurl.E_SSL_CONNECT_ERROR: ("{host} does not speak TLS as it should", True, "check its port; TLS 1.2 is needed"),
    pycurl.E_TOO_MANY_REDIRECTS: ("{host} redirects too often", False, "use the URL that the redirects lead to"),
    pycurl.E_GOT_NOTHING: ("{host} closed the connection without an answer", True, LOG),
    pycurl.E_SEND_ERROR: _CLOSED,
    pycurl.E_RECV_ERROR: _CLOSED,
    pycurl.E_SSL_CACERT_BADFILE: ("The list of authorities cannot be read", False, "check the setting ca_file"),
    pycurl.E_LOGIN_DENIED: ("{host} refuses the login", False, LOGIN),
    pycurl.E_FTP_SSL_FAILED: ("{host} refuses TLS", False, "allow TLS there, or use ftp:// in a trusted network"),
    pycurl.E_REMOTE_FILE_NOT_FOUND: ("{host} has no such file", False, "check the path"),
    pycurl.E_UPLOAD_FAILED: ("{host} refuses to store the file", True, "check that login's rights, and the path"),
    pycurl.E_QUOTE_ERROR: ("{host} does not allow files to be renamed", True, LOG),
    _TOO_LARGE: ("{host} answers with a line that is too long", False, LOG),
    pycurl.E_BAD_CONTENT_ENCODING: _UNDECODABLE,
    pycurl.E_WRITE_ERROR: _UNDECODABLE,  # bytes after the encoded ones; our own callbacks leave a fault
}
_UNEXPECTED = ("{host} does not behave as expected (libcurl error {number})", True, LOG)
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
_REFUSED_BY_REPLY = frozenset({
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


def failure_of(exchange: Exchange, number: int) -> Exception:
    """The reason why libcurl ended the exchange with this error."""
    host, refusal, reply = exchange.origin, exchange.refusal, exchange.replies.last
    if exchange.is_silent:
        return time_out(host, is_stale=True)
    if exchange.fault is not None:
        return exchange.fault
    if not exchange.is_sent and descriptors.are_used_up():  # of the resolver, for example: libcurl names no reason
        return OutOfDescriptors()
    if refusal is not None and number != pycurl.E_OPERATION_TIMEDOUT:
        return ExchangeFailed(refusal.detail, refusal.hint, is_refused=True)
    if number == pycurl.E_PEER_FAILED_VERIFICATION:
        fault, remedy = _CERTIFICATE_FAULTS.get(exchange.curl.getinfo(pycurl.SSL_VERIFYRESULT), _UNVERIFIED)
        return ExchangeFailed(f"The TLS certificate of {host} {fault}", remedy)
    status = exchange.curl.getinfo(pycurl.HTTP_CONNECTCODE)
    if status >= 300:
        detail = f"The proxy does not connect to {host} (it answered {status})"
        return ExchangeFailed(detail, statuses.remedy(status), is_retryable=status >= 500)
    sentence, is_retryable, remedy = _ERRORS.get(number, _UNEXPECTED)
    is_refusal = reply >= 400 and (number in _REFUSED_BY_REPLY or reply == _CLOSING)
    # A STOR may be repeated until bytes of the file were sent.
    is_repeatable = exchange.call.method == "STOR" or exchange.is_untouched
    is_undone = exchange.is_reused and not exchange.is_sent and is_repeatable
    return ExchangeFailed(
        sentence.format(host=host, number=number) + (f" (it answered {reply})" if is_refusal else ""),
        remedy,
        is_retryable=reply < 500 if is_refusal else is_retryable,
        is_sent=exchange.is_sent and not is_refusal,
        is_late=number == pycurl.E_OPERATION_TIMEDOUT and not is_refusal,
        is_reused=exchange.is_reused,
        is_stale=is_undone and (reply == _CLOSING if is_refusal else number in _LOST),
        is_undecodable=number == pycurl.E_BAD_CONTENT_ENCODING and exchange.is_undecodable,
        step=_STEPS.get(number, "") if is_refusal else "",
        reply=reply if is_refusal else 0,
        replies=exchange.replies.finals,
    )


def time_out(host: Origin, *, is_stale: bool = False) -> ExchangeFailed:
    sentence, is_retryable, remedy = _TIME_OUT
    detail = sentence.format(host=host)
    return ExchangeFailed(detail, remedy, is_retryable=is_retryable, is_late=True, is_stale=is_stale)
