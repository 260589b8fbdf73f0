"""An upload page as they are in the wild: a Django site with all its checks on."""

import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, HttpResponseRedirect
from django.template import engines
from django.urls import path as route

from tests.support.sites import Serving

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
            SECRET_KEY="x" * 50, ROOT_URLCONF="tests.support.forms", ALLOWED_HOSTS=["127.0.0.1"],
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


class DjangoSite(Serving):
    def __init__(self, media: Path, tls: ssl.SSLContext | None = None) -> None:
        server = _Threading(("127.0.0.1", 0), _Quiet)
        server.set_app(django_application(media))
        super().__init__(server, tls)
