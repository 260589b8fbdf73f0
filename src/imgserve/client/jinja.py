"""Filters and functions of Jinja: ``{{ photo | imgserve_url(width=300) }}``, and ``imgserve_srcset``."""

from typing import TYPE_CHECKING

from imgserve.client.templates import source_of, widths_of
from imgserve.client.urls import Urls

if TYPE_CHECKING:
    from jinja2 import Environment


def install(environment: "Environment", urls: Urls) -> None:
    """Adds both to the environment; of Flask that is ``app.jinja_env``."""

    def imgserve_url(source: object, **options: object) -> str:
        return urls.url(source_of(source), **options)

    def imgserve_srcset(source: object, widths: object, **options: object) -> str:
        return urls.srcset(source_of(source), widths_of(widths), **options)

    added = {"imgserve_url": imgserve_url, "imgserve_srcset": imgserve_srcset}
    environment.filters.update(added)
    environment.globals.update(added)
