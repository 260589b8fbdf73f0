"""The signature of thumbor's URLs, and imagor's, whose hash and length are settings. Pure.

It is base64url, with its padding, of the HMAC of all that follows it and its slash, as the client sends it. SHA-1 is
``signing``'s; imagor's signer has others (``imagorpath/signer.go``).
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable

from imgserve.request.dialects.signing import thumbor_signature
from imgserve.request.dialects.thumbor.config import Config


def signature(key: str, text: str, config: Config) -> str:
    return _whole(key.encode(), text, config)[: config.signature_length or None]


def is_signature(sent: str, texts: Iterable[str], config: Config) -> bool:
    """Whether any key signs any of these texts so. ``sent`` is percent-decoded.

    All are compared, in the same time wherever two differ.
    """
    expected = [signature(key.text, text, config) for key in config.keys for text in texts]
    return any([hmac.compare_digest(_bytes(sent), _bytes(one)) for one in expected])


def _whole(key: bytes, text: str, config: Config) -> str:
    if config.digest == "sha1":
        return thumbor_signature(key, text)
    return urlsafe_b64encode(hmac.digest(key, _bytes(text), config.digest)).decode()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
