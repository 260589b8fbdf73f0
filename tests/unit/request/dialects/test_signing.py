"""Signatures by the two rules, against the rules done by hand with ``hmac``."""

import base64
import hashlib
import hmac

import pytest

from imgserve.request.dialects.signing import (
    KeyPair,
    imgproxy_signature,
    imgproxy_verified,
    thumbor_signature,
    thumbor_verified,
)

# The example of imgproxy's documentation: key "secret", salt "hello".
PAIR = KeyPair(bytes.fromhex("736563726574"), bytes.fromhex("68656C6C6F"))
PATH = "/rs:fill:300:400:0/g:sm/aHR0cDovL2V4YW1w/bGUuY29tL2ltYWdl/cy9jdXJpb3NpdHku/anBn.png"
OTHER = KeyPair(b"other", b"salt")


def test_imgproxy_signs_salt_and_path() -> None:
    digest = hmac.new(b"secret", b"hello" + PATH.encode(), hashlib.sha256).digest()
    assert imgproxy_signature(PAIR, PATH) == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert imgproxy_signature(PAIR, PATH) == "oKfUtW34Dvo2BGQehJFR4Nr0_rIjOtdtzJ3QFsUcXH8"


@pytest.mark.parametrize("size", [1, 8, 16, 31, 32])
def test_imgproxy_keeps_the_first_bytes(size: int) -> None:
    signature = imgproxy_signature(PAIR, PATH, size)
    digest = hmac.new(b"secret", b"hello" + PATH.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)) == digest[:size]
    assert imgproxy_verified(signature, PATH, [PAIR], size)
    assert not imgproxy_verified(signature, PATH, [PAIR], size % 32 + 1)


def test_any_key_may_have_signed() -> None:
    assert imgproxy_verified(imgproxy_signature(OTHER, PATH), PATH, [PAIR, OTHER])
    assert imgproxy_verified(imgproxy_signature(PAIR, PATH), PATH, [PAIR, OTHER])
    assert not imgproxy_verified(imgproxy_signature(OTHER, PATH), PATH, [PAIR])
    assert not imgproxy_verified(imgproxy_signature(PAIR, PATH), PATH, [])


@pytest.mark.parametrize("wrong", ["", "unsafe", "oKfUtW34Dvo2BGQehJFR4Nr0_rIjOtdtzJ3QFsUcXH8=", "\udcff", "é"])
def test_wrong_signatures(wrong: str) -> None:
    assert not imgproxy_verified(wrong, PATH, [PAIR])
    assert not thumbor_verified(wrong, PATH, [b"secret"])


def test_a_signature_is_of_its_path_alone() -> None:
    assert not imgproxy_verified(imgproxy_signature(PAIR, PATH), PATH + "x", [PAIR])


def test_trusted_words() -> None:
    assert imgproxy_verified("let-me-in", PATH, [PAIR], trusted=("let-me-in", "me-too"))
    assert not imgproxy_verified("let-me", PATH, [PAIR], trusted=("let-me-in",))


def test_thumbor_signs_the_text_behind_the_hash_with_padding() -> None:
    text = "300x200/smart/example.com/a.jpg"
    digest = hmac.new(b"my-key", text.encode(), hashlib.sha1).digest()
    signature = thumbor_signature(b"my-key", text)
    assert signature == base64.urlsafe_b64encode(digest).decode()
    assert len(signature) == 28
    assert signature.endswith("=")
    assert thumbor_verified(signature, text, [b"old", b"my-key"])
    assert not thumbor_verified(signature, "/" + text, [b"my-key"])
    assert not thumbor_verified(signature.rstrip("="), text, [b"my-key"])
    assert not thumbor_verified(signature, text, [b"old"])


def test_a_key_is_never_shown() -> None:
    assert "secret" not in repr(PAIR)
