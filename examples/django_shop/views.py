"""The shop's page, which takes pictures and shows them, and the view that imgserve's webhooks come to."""

from django.conf import settings
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from examples.django_shop.models import Photo

from imgserve.client import SignatureInvalid, verify_webhook

PhotoForm = modelform_factory(Photo, fields=["image"])


def photos(request: HttpRequest) -> HttpResponse:
    form = PhotoForm(request.POST or None, request.FILES or None)
    if form.is_valid():
        form.save()
        return redirect("photos")
    return render(request, "photos.html", {"form": form, "photos": Photo.objects.all()})


@csrf_exempt  # the signature takes the token's place
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """The same webhook may come twice: it sets the same status again."""
    try:
        event = verify_webhook(request.body, request.headers, settings.IMGSERVE["webhook_secret"])
    except SignatureInvalid:
        return HttpResponse(status=401)
    if event.job is not None:
        Photo.objects.filter(image=event.job.metadata.get("image")).update(status=event.job.status)
    return HttpResponse(status=204)
