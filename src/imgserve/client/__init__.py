"""The Python client of imgserve's native API: docs/client.md. These names are its public ones."""

from imgserve.client.aio import AsyncClient, AsyncSubmitted
from imgserve.client.answers import (
    Event,
    Facts,
    Job,
    JobError,
    JobOutput,
    JobSource,
    JobWarning,
    JobWebhook,
    Picture,
    Preview,
    TimelineEntry,
    WebhookDelivery,
    WebhookTry,
)
from imgserve.client.content import Upload
from imgserve.client.errors import AnswerInvalid, ApiError, OptionInvalid, SignatureInvalid, StillRunning, Unreachable
from imgserve.client.sync import Client, Submitted
from imgserve.client.urls import ImgproxyUrls, ThumborUrls
from imgserve.client.webhooks import verify_webhook
from imgserve.errors import ImgserveError
from imgserve.request.encode import Encode
from imgserve.request.job_body import OutputBody as Output
from imgserve.request.job_body import PlaceholderBody as Placeholder
from imgserve.request.native_destination import DestinationBody as Destination
from imgserve.request.native_source import SourceBody as Source
from imgserve.request.native_webhook import WebhookBody as Webhook
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.contrast import Contrast
from imgserve.request.operations.convolve import Convolve
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.curve import Curve
from imgserve.request.operations.equalize import Equalize
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.gamma import Gamma
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.linear import Linear
from imgserve.request.operations.modulate import Modulate
from imgserve.request.operations.negate import Negate
from imgserve.request.operations.noise import Noise
from imgserve.request.operations.normalize import Normalize
from imgserve.request.operations.pixelate import Pixelate
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.redact import Redact
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.rotate import Rotate
from imgserve.request.operations.round import Round
from imgserve.request.operations.saturate import Saturate
from imgserve.request.operations.sharpen import Sharpen
from imgserve.request.operations.threshold import Threshold
from imgserve.request.operations.tint import Tint
from imgserve.request.operations.trim import Trim
from imgserve.request.recipe import LoadOptions as Load

__all__ = [
    "AnswerInvalid", "ApiError", "AsyncClient", "AsyncSubmitted", "Blur", "Client", "Composite", "Contrast",
    "Convolve", "Crop", "Curve", "Destination", "Encode", "Equalize", "Event", "Extend", "Facts", "Flatten", "Flip",
    "Flop", "Gamma", "Grayscale", "ImgproxyUrls", "ImgserveError", "Job", "JobError", "JobOutput", "JobSource",
    "JobWarning", "JobWebhook", "Linear", "Load", "Modulate", "Negate", "Noise", "Normalize", "OptionInvalid",
    "Output", "Picture", "Pixelate", "Placeholder", "Preview", "Rasterize", "Redact", "Resize", "Rotate", "Round",
    "Saturate", "Sharpen", "SignatureInvalid", "Source", "StillRunning", "Submitted", "Threshold", "ThumborUrls",
    "TimelineEntry", "Tint", "Trim", "Unreachable", "Upload", "Webhook", "WebhookDelivery", "WebhookTry",
    "verify_webhook",
]  # fmt: skip
