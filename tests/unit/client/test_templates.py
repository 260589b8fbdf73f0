"""The helpers of Django and Jinja, in real templates."""

import json
import subprocess
import sys

import jinja2
import pytest

from imgserve.client import ImgproxyUrls, OptionInvalid, ThumborUrls
from imgserve.client.jinja import install

KEY, SALT = "943b421c9eb07c83", "520f986b998545b4"
BASE = "https://images.example.com"
PHOTO = "https://example.com/photo.jpg"

# Django's settings are the process's.
PROGRAM = """
import json, sys
import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.template import engines
from django.test.utils import override_settings
given = json.load(sys.stdin)
settings.configure(
    INSTALLED_APPS=["imgserve.client.django"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
)
django.setup()
class File:
    url = "/media/photo.jpg"
for one in given:
    with override_settings(IMGSERVE=one["settings"]):
        template = engines["django"].from_string("{% load imgserve %}" + one["template"])
        try:
            print(json.dumps(template.render({"photo": one["photo"], "file": File(), "widths": [320, 640]})))
        except (ImproperlyConfigured, ValueError) as error:
            print(json.dumps(f"{type(error).__name__}: {error}"))
"""
IMGPROXY = {"DIALECT": "imgproxy", "BASE": BASE, "KEY": KEY, "SALT": SALT}
THUMBOR = {"DIALECT": "thumbor", "BASE": BASE, "KEY": "a key"}


def rendered(*cases: tuple[object, str]) -> list[str]:
    given = [{"settings": settings, "template": template, "photo": PHOTO} for settings, template in cases]
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_django_renders_urls() -> None:
    imgproxy, thumbor = ImgproxyUrls(BASE, KEY, SALT), ThumborUrls(BASE, "a key")
    assert rendered(
        (IMGPROXY, '<img src="{% imgserve_url photo width=300 resize="fill:300:200" %}">'),
        (IMGPROXY, "{% imgserve_url file width=300 as small %}{{ small }}"),
        (IMGPROXY, "{% imgserve_srcset photo '320,640' width=3 height=2 %}"),
        (THUMBOR, "{% imgserve_srcset photo widths smart=True %}"),
        # Quotes are escaped, as in every attribute.
        (THUMBOR, "{% imgserve_url photo filters='watermark(https://example.com/a\\'b.png,0,0,0)' %}"),
    ) == [
        f'<img src="{imgproxy.url(PHOTO, width=300, resize="fill:300:200")}">',
        imgproxy.url("/media/photo.jpg", width=300),
        imgproxy.srcset(PHOTO, [320, 640], width=3, height=2),
        thumbor.srcset(PHOTO, [320, 640], smart=True),
        thumbor.url(PHOTO, filters=["watermark(https://example.com/a'b.png,0,0,0)"]).replace("'", "&#x27;"),
    ]


def test_django_says_what_is_wrong() -> None:
    assert [sentence.partition(" (")[0] for sentence in rendered(
        (None, "{% imgserve_url photo %}"),
        ({"DIALECT": "iiif"}, "{% imgserve_url photo %}"),
        ({**THUMBOR, "SECRET": "a"}, "{% imgserve_url photo %}"),
        ({**IMGPROXY, "KEY": "xyz"}, "{% imgserve_url photo %}"),
        (IMGPROXY, "{% imgserve_url missing width=3 %}"),
        (IMGPROXY, "{% imgserve_srcset photo 'a,b' %}"),
        (IMGPROXY, "{% imgserve_url photo widht=3 %}"),
    )] == [
        'ImproperlyConfigured: IMGSERVE: expected {"DIALECT": "imgproxy", "BASE": "https://images.example.com", '
        '"KEY": …, "SALT": …}',
    ] * 2 + [
        'ImproperlyConfigured: IMGSERVE: expected {"DIALECT": "imgproxy", "BASE": "https://images.example.com", '
        "\"KEY\": …, \"SALT\": …}: ThumborUrls.__init__() got an unexpected keyword argument 'secret'",
        "ImproperlyConfigured: IMGSERVE: key: expected hexadecimal digits, an even number of them",
        "OptionInvalid: expected the URL of a picture, or a file with one, got ''",
        "OptionInvalid: expected widths such as \"320,640,1280\", got 'a,b'",
        "OptionInvalid: widht: there is no option 'widht'",
    ]  # fmt: skip


def test_jinja_renders_urls() -> None:
    urls = ThumborUrls(BASE, "a key")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    install(environment, urls)
    text = '<img src="{{ photo | imgserve_url(width=300) }}" srcset="{{ imgserve_srcset(photo, \'320,640\') }}">'
    expected = f'<img src="{urls.url(PHOTO, width=300)}" srcset="{urls.srcset(PHOTO, [320, 640])}">'
    assert environment.from_string(text).render(photo=PHOTO) == expected
    with pytest.raises(OptionInvalid, match="expected the URL of a picture"):
        environment.from_string("{{ photo | imgserve_url }}").render(photo=None)


def test_the_client_loads_no_templates() -> None:
    code = "import sys, imgserve.client, imgserve.client.jinja; print({'django', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
