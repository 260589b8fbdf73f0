"""Secrets that sign webhooks, as Standard Webhooks 1.0.0 has them. For those of the settings and those of receivers."""

import base64

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)
EXPECTED = f"{PREFIX} and {KEY_BYTES[0]} to {KEY_BYTES[-1]} bytes in base64"


def secrets_in(text: str) -> tuple[str, ...]:
    """The secrets of a setting, which white space separates."""
    return tuple(text.split())


def key_of(secret: str) -> bytes | None:
    """None for a text that is no secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        return None
    return key if secret.startswith(PREFIX) and len(key) in KEY_BYTES else None
