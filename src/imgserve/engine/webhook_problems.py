"""Finds webhooks of the settings that cannot work beside the others and the credentials. Called by the settings."""

from collections.abc import Iterator, Mapping

from imgserve.engine.config import WebhookConfig
from imgserve.request.access import Access
from imgserve.setting import Problem
from imgserve.transfer.config import CredentialConfig
from imgserve.transfer.credentials import Credentials
from imgserve.transfer.faults import CredentialNotAllowed


def problems_together(
    webhooks: Mapping[str, WebhookConfig], credentials: Mapping[str, CredentialConfig], *, are_several: bool
) -> Iterator[tuple[str, Problem]]:
    """By the webhooks' names. ``are_several``: there are keys of several principals."""
    known = Credentials(credentials, lambda: are_several)
    first: dict[str, str] = {}
    for name, config in webhooks.items():
        for principal in config.principals or ("",):
            if first.setdefault(principal, name) != name:
                whom = f" of {principal}" if principal else ""
                yield name, Problem("url", f"[webhook.{first[principal]}] is the webhook{whom} already")
            if not _can_be_signed(config, principal, known):
                whom = f" of {principal}" if principal else " of all keys"
                sentence = f"no credential of the type webhook may sign messages{whom} to this URL: make one"
                yield name, Problem("secret" if config.secret else "url", sentence)


def _can_be_signed(config: WebhookConfig, principal: str, known: Credentials) -> bool:
    webhook = config.webhook()
    try:
        known.check(Access(credential=webhook.secret), principal, webhook.url, "webhook")
    except CredentialNotAllowed:
        return False
    return True
