"""Upload pages as they are in the wild: a Django site with all its checks on, and a bare server for odd pages."""

import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, NamedTuple, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, HttpResponseRedirect
from django.template import engines
from django.urls import path as route

PAGE = """<!doctype html><title>Upload</title>
<form action="/search"><input name="q"></form>
<form method="post" enctype="multipart/form-data" action="{% url 'take' %}">
{% csrf_token %}<input name="title" value="tëst">
<input type="file" name="picture"><button name="save" value="1">Save</button></form>"""


def upload_page(request: HttpRequest) -> HttpResponse:
    request.session["member"] = "yes"  # the login cookie: who has not seen this page may not post
    return HttpResponse(engines["django"].from_string(PAGE).render({}, request))


def take(request: HttpRequest) -> HttpResponse:
    if request.session.get("member") != "yes":
        return HttpResponseForbidden("log in first")
    picture = request.FILES["picture"]
    (Path(settings.MEDIA_ROOT) / str(picture.name)).write_bytes(picture.read())
    (Path(settings.MEDIA_ROOT) / "fields").write_text(f"{request.POST['title']} {request.POST['save']}")
    return HttpResponseRedirect("/upload/")


urlpatterns = [route("upload/", upload_page), route("take/", take, name="take")]


def django_application(media: Path) -> Callable[..., Iterable[bytes]]:
    """Django's own WSGI application with sessions in signed cookies and the CSRF check; one a process."""
    if not settings.configured:
        settings.configure(
            SECRET_KEY="x" * 50, ROOT_URLCONF="tests.forms", ALLOWED_HOSTS=["127.0.0.1"],
            SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies", SESSION_COOKIE_HTTPONLY=True,
            MIDDLEWARE=[
                "django.middleware.security.SecurityMiddleware",
                "django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware",
            ],
            TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}], LOGGING_CONFIG=None,
        )  # fmt: skip
        django.setup()
    settings.MEDIA_ROOT = str(media)
    from django.core.wsgi import get_wsgi_application  # wants the settings

    application: Callable[..., Iterable[bytes]] = get_wsgi_application()
    return application


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass

    def get_environ(self) -> dict[str, Any]:
        return super().get_environ() | ({"HTTPS": "on"} if isinstance(self.connection, ssl.SSLSocket) else {})


class _Threading(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that hangs up is no news."""


class _ThreadingHttp(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that hangs up is no news."""


class Seen(NamedTuple):
    """One request, as it came. ``headers`` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Serving:
    """Any of the two in a thread of its own."""

    def __init__(self, server: Any, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        self.port = int(server.server_address[1])
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class DjangoSite(Serving):
    def __init__(self, media: Path, tls: ssl.SSLContext | None = None) -> None:
        server = _Threading(("127.0.0.1", 0), _Quiet)
        server.set_app(django_application(media))
        super().__init__(server, tls)


class OddSite(Serving):
    """Answers a GET of ``/page`` with ``page`` and ``headers``, everything else with ``status``; keeps what came."""

    def __init__(self, page: bytes = b"", headers: Mapping[str, str] | None = None, status: int = 200) -> None:
        self.page = page
        self.headers = dict(headers or {"Content-Type": "text/html"})
        self.page_status = 200
        self.answer_headers: dict[str, str] = {}
        self.seen: list[Seen] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                site.seen.append(Seen(self.command, self.path, headers, body))
                is_page = self.command == "GET"
                self.send_response(site.page_status if is_page else status)
                for name, value in (site.headers if is_page else site.answer_headers).items():
                    self.send_header(name, value)
                answer = site.page if is_page else b""
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_GET

        super().__init__(_ThreadingHttp(("127.0.0.1", 0), Handler))

    def posts(self) -> list[Seen]:
        return [one for one in self.seen if one.method == "POST"]


class Given(NamedTuple):
    """What a site answers."""

    status: int
    body: str | bytes = ""
    media_type: str = "text/html"
    location: str | None = None
    encoding: str | None = None


class PagesSite(Serving):
    """A site of many pages: ``pages`` are answered to a GET of their path, ``answers`` to a POST; else 404."""

    def __init__(self) -> None:
        self.pages: dict[str, Given] = {}
        self.answers: dict[str, Given] = {}
        self.seen: list[Seen] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                site.seen.append(Seen(self.command, self.path, headers, body))
                known = site.pages if self.command == "GET" else site.answers
                given = known.get(self.path.partition("?")[0], Given(404))
                self.send_response(given.status)
                if given.location is not None:
                    self.send_header("Location", given.location)
                self.send_header("Content-Type", given.media_type)
                if given.encoding is not None:
                    self.send_header("Content-Encoding", given.encoding)
                answer = given.body if isinstance(given.body, bytes) else given.body.encode()
                if given.status != 204:
                    self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_GET

        super().__init__(_ThreadingHttp(("127.0.0.1", 0), Handler))

    def posts(self) -> list[Seen]:
        return [one for one in self.seen if one.method == "POST"]
