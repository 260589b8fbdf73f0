"""thumbor's configuration, a file of Python: assignments of literals in, a draft of settings out.

The file is parsed and never executed. Called by ``imgserve import-config``.
"""

import ast
from collections.abc import Mapping
from typing import Any

from imgserve.cli.moving.draft import Draft
from imgserve.cli.moving.environment import NotImported
from imgserve.cli.moving.places import Compiled, is_prefix, of_hosts
from imgserve.cli.moving.thumbor_rows import GROUPS, MOUNT, RISKY, SERVER, WITHOUT

_DEFAULT_KEY = "MY_SECURE_KEY"
_KEY_FILE = "thumbor.key"
_HTTP, _HTTPS, _STRICT_HTTPS, _FILE = (
    f"thumbor.loaders.{name}_loader" for name in ("http", "https", "strict_https", "file")
)
_SIGNERS = {f"libthumbor.url_signers.base64_hmac_{digest}": digest for digest in ("sha1", "sha256", "sha512")}
# Those that say who may ask for what.
_RIGHTS = frozenset(
    {"SECURITY_KEY", "ALLOW_UNSAFE_URL", "ALLOWED_SOURCES", "LOADER", "FILE_LOADER_ROOT_PATH", "URL_SIGNER"}
)
_TOGETHER = _RIGHTS | frozenset(
    {"AUTO_WEBP", "AUTO_AVIF", "AUTO_IMAGE_FORMAT_PREFERENCE", "DETECTORS", "MAX_PIXELS"}
    | {"ACCESS_CONTROL_ALLOW_ORIGIN_HEADER"}
    | {"HTTP_LOADER_FOLLOW_REDIRECTS", "HTTP_LOADER_MAX_REDIRECTS", "HTTP_LOADER_VALIDATE_CERTS"}
    | {f"HTTP_LOADER_PROXY_{part}" for part in ("HOST", "PORT", "USERNAME", "PASSWORD")}
)


def drafted(text: str) -> Draft:
    """Raises NotImported."""
    draft = Draft("get.thumbor")
    given = _assigned(text, draft)
    draft.of_mount("SECURITY_KEY", "path", "/")
    _sources(given, draft, _rights(given, draft))
    for name, value in given.items():
        if value is not None:
            _one(name, value, draft)
    _negotiation(given, draft)
    _network(given, draft)
    # Pictures stay as they are: thumbor without detectors passes over ``smart``.
    draft.of_mount("DETECTORS", "smart", "attention" if given.get("DETECTORS") else "ignore")
    return draft


def _assigned(text: str, draft: Draft) -> dict[str, Any]:
    """The literals by their names. Raises NotImported."""
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotImported(f"expected a file of Python, as thumbor reads it: {error}") from error
    found: dict[str, Any] = {}
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom) or _is_text(statement):
            continue
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if not isinstance(statement, ast.Assign) or not isinstance(target, ast.Name) or len(statement.targets) > 1:
            _not_executed(statement, draft)
            continue
        try:
            found[target.id] = ast.literal_eval(_Plain().visit(statement.value))
        except (ValueError, TypeError, RecursionError):
            found.pop(target.id, None)
            _computed(target.id, draft)
    return found


def _not_executed(statement: ast.stmt, draft: Draft) -> None:
    names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    line = f"line {statement.lineno}"
    if names & _RIGHTS:
        draft.close(line, "expected plain assignments of what says who may ask for what; no code is executed")
    else:
        draft.note(line, "set by hand what it sets: no code is executed", is_security=True)


def _computed(name: str, draft: Draft) -> None:
    if name in _RIGHTS:
        draft.close(name, "expected a plain value, and not a computed one; no code is executed")
    elif name in MOUNT or name in SERVER:
        draft.note(name, "set it by hand: its value is computed, and no code is executed")
    else:
        _one(name, True, draft)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


class _Plain(ast.NodeTransformer):
    """``re.compile("…")`` becomes a set of its text, which no setting has, ``24 * 60 * 60`` a number."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        left, right = self.visit(node.left), self.visit(node.right)
        factors = [one.value for one in (left, right) if isinstance(one, ast.Constant) and type(one.value) is int]
        if isinstance(node.op, ast.Mult) and len(factors) == 2:
            return ast.Constant(factors[0] * factors[1])
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        is_compiled = isinstance(node.func, ast.Attribute) and node.func.attr == "compile" and len(node.args) == 1
        return ast.Set([node.args[0]]) if is_compiled else node


def _one(name: str, value: Any, draft: Draft) -> None:
    if name in MOUNT:
        draft.of_mount(name, MOUNT[name], value)
    elif name in SERVER:
        if value:  # thumbor's 0 is no limit
            draft.set(name, SERVER[name], value)
    elif name in RISKY:
        if value:
            draft.note(name, RISKY[name], is_security=True)
    elif name in WITHOUT:
        draft.note(name, WITHOUT[name])
    elif name not in _TOGETHER:
        group = next((prefix for prefix in GROUPS if name.startswith(prefix)), "")
        unknown = "it is not known here: look up what it allows or forbids, and decide"
        draft.note(name, GROUPS.get(group, unknown), is_security=not group)


def _rights(given: Mapping[str, Any], draft: Draft) -> bool:
    """The key, and whether URLs may be unsigned."""
    key = given.get("SECURITY_KEY") or _DEFAULT_KEY
    signer = given.get("URL_SIGNER")
    if signer in _SIGNERS:
        draft.of_mount("URL_SIGNER", "digest", _SIGNERS[signer])
    elif signer:
        draft.close("URL_SIGNER", "expected a signer of libthumbor, since others are not known here")
    if key == _DEFAULT_KEY:
        sentence = "everybody knows thumbor's default key: write one of your own into a file, and name it in key_file"
        draft.note("SECURITY_KEY", sentence, is_security=True)
    else:
        if set(str(key)) & set(" \t\n,"):
            sentence = "choose a key without spaces and commas, which part several keys in a file, and sign anew"
            draft.note("SECURITY_KEY", sentence)
        draft.note("SECURITY_KEY", f"write it into the file {_KEY_FILE} beside the settings, mode 0600")
        draft.of_mount("SECURITY_KEY", "key_file", _KEY_FILE, "The old SECURITY_KEY, which stands in no settings file.")
    is_open = bool(given.get("ALLOW_UNSAFE_URL", True))
    if key == _DEFAULT_KEY and not is_open:
        draft.close("SECURITY_KEY", "expected a key of your own, since all URLs are to be signed")
    return is_open


def _sources(given: Mapping[str, Any], draft: Draft, is_open: bool) -> None:
    loader = given.get("LOADER") or _HTTP
    patterns = given.get("ALLOWED_SOURCES") or []
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if loader == _FILE:
        sources = _file_root(given, draft)
    else:
        scheme = "https://" if loader == _STRICT_HTTPS else ""
        compiled = [Compiled(str(next(iter(one)))) if isinstance(one, set) and one else str(one) for one in patterns]
        sources = of_hosts(compiled, scheme, draft, "ALLOWED_SOURCES")
        if loader == _STRICT_HTTPS and not patterns:
            draft.close("LOADER", "expected a list of sources: without one http would be allowed beside https")
        elif loader == _HTTPS:
            draft.note("LOADER", "write https:// into URLs whose source has no scheme: http is the default here")
        elif loader not in (_HTTP, _STRICT_HTTPS):
            draft.note("LOADER", "name the place of your pictures in base_url, and their credential in credential")
        if patterns and not sources:
            draft.close("ALLOWED_SOURCES", "expected a host: without a list all would be allowed")
    if sources:
        draft.of_mount("ALLOWED_SOURCES", "sources", sources)
    has_keys = "get.thumbor.key_file" in draft.values
    if is_open and sources:
        draft.of_mount("ALLOW_UNSAFE_URL", "allow_unsigned", True, "As before: /unsafe/ URLs may ask for any size.")
    elif is_open and has_keys:
        draft.note("ALLOW_UNSAFE_URL", "for unsafe URLs add sources and allow_unsigned = true: else they are refused")
    elif is_open:
        draft.close("ALLOW_UNSAFE_URL", "expected a key, or a list of sources: else anybody could show anything")


def _file_root(given: Mapping[str, Any], draft: Draft) -> list[str]:
    root = given.get("FILE_LOADER_ROOT_PATH")
    beginning = f"file://{str(root).rstrip('/')}/"
    if not isinstance(root, str) or not root.startswith("/") or not is_prefix(beginning):
        draft.close("FILE_LOADER_ROOT_PATH", "expected the whole path of a directory, for read_root and base_url")
        return []
    draft.set("FILE_LOADER_ROOT_PATH", "read_root", [root])
    draft.of_mount("FILE_LOADER_ROOT_PATH", "base_url", beginning)
    return [beginning]


def _negotiation(given: Mapping[str, Any], draft: Draft) -> None:
    preferred = given.get("AUTO_IMAGE_FORMAT_PREFERENCE") or []
    wanted = [str(one).lower() for one in preferred if str(one).lower() in ("webp", "avif")]
    wanted += [one for one in ("webp", "avif") if given.get(f"AUTO_{one.upper()}") and one not in wanted]
    if wanted:
        draft.of_mount("AUTO_WEBP", "negotiate", wanted)


def _network(given: Mapping[str, Any], draft: Draft) -> None:
    if given.get("MAX_PIXELS"):
        draft.set("MAX_PIXELS", "max_frame_pixels", int(given["MAX_PIXELS"]))
    origin = given.get("ACCESS_CONTROL_ALLOW_ORIGIN_HEADER")
    if isinstance(origin, str):
        draft.origins("ACCESS_CONTROL_ALLOW_ORIGIN_HEADER", [origin])
    if given.get("HTTP_LOADER_FOLLOW_REDIRECTS") is False or given.get("HTTP_LOADER_MAX_REDIRECTS") == 0:
        sentence = "redirects are followed, each checked by the network's rules: allow only hosts that you trust"
        draft.note("HTTP_LOADER_FOLLOW_REDIRECTS", sentence, is_security=True)
    if given.get("HTTP_LOADER_VALIDATE_CERTS") is False:
        draft.note("HTTP_LOADER_VALIDATE_CERTS", "name your own authority in ca_file: certificates are always verified")
    if given.get("HTTP_LOADER_PROXY_HOST"):
        user = " with its user and password" * bool(given.get("HTTP_LOADER_PROXY_USERNAME"))
        draft.note("HTTP_LOADER_PROXY_HOST", f"set proxy to its URL{user}: it then has to refuse private addresses")
