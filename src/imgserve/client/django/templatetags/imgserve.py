"""``{% load imgserve %} {% imgserve_url photo width=300 %}``, and ``imgserve_srcset``."""

from django import template

from imgserve.client.django.configured import urls
from imgserve.client.templates import source_of, widths_of

register = template.Library()


@register.simple_tag
def imgserve_url(source: object, **options: object) -> str:
    """``source``: a URL, or a file of a model, which has one. Raises OptionInvalid."""
    return urls().url(source_of(source), **options)


@register.simple_tag
def imgserve_srcset(source: object, widths: object, **options: object) -> str:
    """``widths``: numbers, or a text such as ``320,640``. Raises OptionInvalid."""
    return urls().srcset(source_of(source), widths_of(widths), **options)
