"""第三方: a system of the company's own that takes our broadcasts at an HTTPS address."""

from tagcast.channels.webhook.client import Delivered, Recipient, WebhookClient
from tagcast.channels.webhook.signing import BadSignature, new_secret, sign, verify

__all__ = ["WebhookClient", "Recipient", "Delivered", "sign", "verify", "new_secret", "BadSignature"]
