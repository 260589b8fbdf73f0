"""Settings of a small Django shop. ``IMGSERVE`` is its own part; the rest is the least that Django needs."""

import os
from pathlib import Path

SHOP = Path(os.environ.get("SHOP_DIR", "shop")).resolve()

IMGSERVE = {
    "url": os.environ.get("IMGSERVE_URL", "http://127.0.0.1:8602"),
    "key": os.environ.get("IMGSERVE_KEY", ""),
    "webhook": os.environ.get("SHOP_WEBHOOK", "http://127.0.0.1:8000/imgserve/"),
    "webhook_secret": os.environ["HOOK_SECRET"],
}

SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "of an example that serves this machine alone")
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["examples.django_shop"]
MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"]
ROOT_URLCONF = "examples.django_shop.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": SHOP / "shop.sqlite"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_ROOT = SHOP / "media"
MEDIA_URL = "/media/"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
