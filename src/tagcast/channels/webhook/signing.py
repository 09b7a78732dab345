"""Signatures of webhooks, as the open specification Standard Webhooks 1.0.0 (standardwebhooks.com) describes them.

A receiver in Python may use `verify`; every library for Standard Webhooks does the same.
"""

import base64
import hmac
import secrets
from collections.abc import Mapping

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
"""How old or how far ahead a webhook's time may be. Source: the specification's security considerations."""


class BadSignature(Exception):
    """A webhook that its sender did not sign, or that is too old."""


def new_secret() -> str:
    """A secret of 24 random bytes in the specification's spelling."""
    return PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def is_secret(text: str) -> bool:
    """Whether a text is a secret in the specification's spelling: `whsec_` and at least 16 bytes in base64."""
    return _key_or_none(text) is not None


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of the `webhook-signature` header. Raises ValueError when the secret is no `whsec_` and base64."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now: float) -> str:
    """The webhook's id, once its signature and its time are good.

    `headers` with names in lower case, `now` in Unix seconds. Raises BadSignature.
    """
    try:
        message_id, timestamp = headers["webhook-id"], int(headers["webhook-timestamp"])
        given = headers["webhook-signature"].split(" ")
    except (KeyError, ValueError):
        raise BadSignature from None
    if abs(now - timestamp) > TOLERANCE_SECONDS:
        raise BadSignature
    ours = sign(secret, message_id, timestamp, body)
    if not any(hmac.compare_digest(ours.encode(), one.encode()) for one in given):
        raise BadSignature
    return message_id


def _key(secret: str) -> bytes:
    key = _key_or_none(secret)
    if key is None:
        raise ValueError("a webhook secret is whsec_ followed by at least 16 bytes in base64")
    return key


def _key_or_none(secret: str) -> bytes | None:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        return None
    return key if secret.startswith(PREFIX) and len(key) >= 16 else None
