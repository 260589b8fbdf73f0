"""The pictures of the shop's products."""

from django.db import models
from examples.django_shop.fields import SizedImageField


class Photo(models.Model):
    """``status`` is that of the job that makes the sizes, as the webhook told it; empty until then."""

    image = SizedImageField(upload_to="photos", sizes={"large": (600, 450), "card": (300, 200), "thumb": (64, 64)})
    status = models.CharField(max_length=20, default="", editable=False)
