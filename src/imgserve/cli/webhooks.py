"""``imgserve webhooks listen``: a receiver on a developer's machine that verifies and shows the webhooks that come.

It needs no server: it prints the settings with which one sends there.
"""

import argparse
import base64
import os
import sys
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
from standardwebhooks import Webhook, WebhookVerificationError

from imgserve.cli import output
from imgserve.errors import ImgserveError, using
from imgserve.request import webhook_secret

HOST = "127.0.0.1"
NEW_KEY_BYTES = 32
# Longer than the body of a job of 50 outputs.
MOST_BYTES = 4_000_000
# Of a connection that says nothing, or not the rest of its request; it holds a thread.
IDLE_S = 60.0
NO_CONTENT, REFUSED, TOO_LARGE = 204, 401, 413
SETTINGS = """\
Listening on {url}, until Ctrl-C. With these lines in its settings file a server on this machine sends there:

allow_network = ["{host}/32"]

[credential.listen]
type = "webhook"
secret_file = "{secret}"
for = ["{url}"]
# principals = ["NAME"]  # where keys have several names: those whose jobs may use it

A job names the place: "webhook": {{"url": "{url}", "secret": "listen"}}
"""


class SecretUnusable(ImgserveError):
    """The file holds no secret of Standard Webhooks."""


class _Job(msgspec.Struct, frozen=True):
    id: str
    status: str


class _Data(msgspec.Struct, frozen=True):
    job: _Job


class _Event(msgspec.Struct, frozen=True):
    """The fields of a body that are shown; others are passed over."""

    type: str
    data: _Data


def add(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    about = "receive, verify and show webhooks on this machine, and print the settings that send them here"
    listener = actions.add_parser("listen", help=about, description=about)
    listener.add_argument("--port", type=_port, default=8603, metavar="N", help="port (default: %(default)s); 0: any")
    about = "secret of the signatures; made if it does not exist (default: %(default)s)"
    secret = Path("imgserve-webhook-secret")
    listener.add_argument("--secret-file", type=Path, default=secret, metavar="FILE", help=about)
    listener.add_argument("--json", action="store_true", help="print the body of each webhook, one a line")
    listener.set_defaults(run=_listen)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"expected a port, 0 to 65535, got {text!r}")
    return int(text)


def _listen(flags: argparse.Namespace) -> int:
    secret_file: Path = flags.secret_file.absolute()
    with using(f"the secret file {secret_file}", "--secret-file"):
        if not secret_file.exists():
            _make_secret(secret_file)
        secret = secret_file.read_text(errors="replace").strip()
    with using(f"port {flags.port} of {HOST}", "--port"):
        receiver = _Receiver(flags.port, _verifier(secret, secret_file), is_json=flags.json)
    with receiver:
        url = f"http://{HOST}:{receiver.server_port}/"
        sys.stderr.write(SETTINGS.format(url=url, host=HOST, secret=secret_file))
        sys.stderr.flush()
        receiver.serve_forever()
    return output.DONE


def _make_secret(path: Path) -> None:
    secret = f"{webhook_secret.PREFIX}{base64.b64encode(os.urandom(NEW_KEY_BYTES)).decode()}\n"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret)


def _verifier(secret: str, path: Path) -> Webhook:
    """Raises SecretUnusable."""
    key = webhook_secret.key_of(secret)
    if key is None:
        hint = f"expected {webhook_secret.EXPECTED}; without the file one is made"
        raise SecretUnusable(f"{path} holds no secret", hint)
    return Webhook(key)


def _line(event: _Event, message: str) -> str:
    job = event.data.job
    return f"{datetime.now().astimezone():%H:%M:%S}  {event.type:<16}  {job.id}  {job.status:<10}  {message}"


class _Receiver(ThreadingHTTPServer):
    daemon_threads = True  # a connection that is kept does not hold up the end

    def __init__(self, port: int, verifier: Webhook, *, is_json: bool) -> None:
        super().__init__((HOST, port), _Request)
        self.verifier = verifier
        self.is_json = is_json

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that has hung up is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Request(BaseHTTPRequestHandler):
    server: _Receiver
    protocol_version = "HTTP/1.1"  # the server keeps its connections
    timeout = IDLE_S

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isdecimal() and len(length) < len(str(MOST_BYTES)) + 1 and int(length) <= MOST_BYTES):
            self.close_connection = True  # the body would be read as the next request
            self._answer(TOO_LARGE)
            return
        body, headers = self.rfile.read(int(length)), {name.lower(): value for name, value in self.headers.items()}
        message = headers.get("webhook-id", "without a webhook-id")
        try:
            self.server.verifier.verify(body, headers, json_parse=False)
            event = msgspec.json.decode(body, type=_Event)
        except (WebhookVerificationError, ValueError) as error:  # of a signature or a body of another form
            output.complain(f"{message[:80]!r} is not verified: {error}")
            self._answer(REFUSED)
            return
        output.say(body.decode() if self.server.is_json else _line(event, message))
        sys.stdout.flush()
        self._answer(NO_CONTENT)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """``do_POST`` shows what came."""
