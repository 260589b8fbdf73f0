"""Signatures of URLs by the rules of imgproxy and thumbor: keys and a path in, a signature or a verdict out. Pure.

imgproxy: https://docs.imgproxy.net/usage/signing_url. thumbor: https://thumbor.readthedocs.io/en/latest/security.html.
All comparisons take the same time wherever two signatures differ.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import NamedTuple

MAX_SIGNATURE_SIZE = 32  # bytes of a SHA-256


class KeyPair(NamedTuple):
    """imgproxy's key and salt, as bytes."""

    key: bytes
    salt: bytes

    def __repr__(self) -> str:
        return "KeyPair(…)"


def imgproxy_signature(pair: KeyPair, path: str, size: int = MAX_SIGNATURE_SIZE) -> str:
    """``path`` is what follows the signature's segment, with the slash that begins it. ``size``: the bytes kept."""
    digest = hmac.digest(pair.key, pair.salt + _bytes(path), "sha256")
    return urlsafe_b64encode(digest[:size]).rstrip(b"=").decode()


def imgproxy_verified(
    signature: str,
    path: str,
    pairs: Iterable[KeyPair],
    size: int = MAX_SIGNATURE_SIZE,
    trusted: Iterable[str] = (),
) -> bool:
    """Whether any pair made this signature, or it is one of the ``trusted`` words. One with padding is wrong."""
    expected = [imgproxy_signature(pair, path, size) for pair in pairs]
    return _is_among(signature, (*expected, *trusted))


def thumbor_signature(key: bytes, text: str) -> str:
    """``text`` is what follows the signature and its slash, as the client sends it. 28 characters, with padding."""
    return urlsafe_b64encode(hmac.digest(key, _bytes(text), "sha1")).decode()


def thumbor_verified(signature: str, text: str, keys: Iterable[bytes]) -> bool:
    """``signature`` is percent-decoded: its padding may come as ``%3D``."""
    return _is_among(signature, [thumbor_signature(key, text) for key in keys])


def _is_among(signature: str, expected: Iterable[str]) -> bool:
    sent = _bytes(signature)
    # A list, not a generator: all are compared, whichever of them matches.
    return any([hmac.compare_digest(sent, _bytes(one)) for one in expected])


def _bytes(text: str) -> bytes:
    """The bytes that were sent, also where they are no UTF-8."""
    return text.encode("utf-8", "surrogateescape")
