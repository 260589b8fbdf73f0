"""The addresses of the shop. Django serves the pictures too, which a web server in front of it would do."""

from django.conf import settings
from django.urls import path, re_path
from django.views.static import serve
from examples.django_shop import views

urlpatterns = [
    path("", views.photos, name="photos"),
    path("imgserve/", views.webhook),
    re_path(r"^media/(?P<path>.*)$", serve, {"document_root": settings.MEDIA_ROOT}),
]
