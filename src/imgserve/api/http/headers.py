"""Headers of every answer, from all endpoints: browsers shall not guess types, frame, cache, or pass on the referrer.

The HTTP server sets them, so that its own error answers have them too. No answer of imgserve is worth a cache, and its
page needs one style sheet and nothing more.
"""

import base64
import hashlib
import re
from importlib import resources

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def page() -> str:
    return (resources.files("imgserve.api.http") / "page.html").read_text(encoding="utf-8")


def policy(text: str) -> str:
    """The Content-Security-Policy under which the page's own styles work, named by their hash, and nothing else."""
    hashes = (base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in _STYLE.findall(text))
    styles = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; style-src {styles}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def fixed() -> list[tuple[str, str]]:
    return [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("content-security-policy", policy(page())),
    ]
