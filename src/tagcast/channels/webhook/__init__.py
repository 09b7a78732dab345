"""第三方: a system of the company's own that takes our broadcasts at an HTTPS address."""

from tagcast.channels.webhook.client import MAX_RECIPIENTS, Delivered, Recipient, WebhookClient
from tagcast.channels.webhook.signing import BadSignature, is_secret, new_secret, sign, verify

__all__ = [
    "MAX_RECIPIENTS",
    "BadSignature",
    "Delivered",
    "Recipient",
    "WebhookClient",
    "is_secret",
    "new_secret",
    "sign",
    "verify",
]
