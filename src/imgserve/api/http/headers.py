"""The strict headers: browsers shall not guess types, frame, cache, or pass on the referrer.

Every answer has them unless its route names others, and so have the HTTP server's own answers. The page of imgserve
needs one style sheet and nothing more.
"""

import base64
import hashlib
import re
from importlib import resources

from imgserve.api.http.asgi import Headers

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def page() -> str:
    return (resources.files("imgserve.api.http") / "page.html").read_text(encoding="utf-8")


def policy(text: str) -> str:
    """The Content-Security-Policy under which the page's own styles work, named by their hash, and nothing else."""
    hashes = (base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in _STYLE.findall(text))
    styles = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; style-src {styles}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


STRICT: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", policy(page()).encode()),
)
# nginx would hold events back until its buffer is full.
STREAM: Headers = (*STRICT, (b"x-accel-buffering", b"no"))
