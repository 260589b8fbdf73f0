"""The app of Django that has the tags: ``INSTALLED_APPS = ["imgserve.client.django"]``."""

from django.apps import AppConfig


class ImgserveConfig(AppConfig):
    name = "imgserve.client.django"
    # Else it would be called django.
    label = "imgserve"
