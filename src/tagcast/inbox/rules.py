"""What tells one callback from another."""

from hashlib import sha256

from tagcast.channels import Inbound

_NEAR = 8


def dedupe(fact: Inbound) -> bytes:
    """32 bytes, equal for repeated deliveries of a fact and different for different facts.

    Those of one time begin alike, so that their index grows at its end instead of everywhere: with the number of a
    message, or with an event's time, which its `message_key` covers. The rest is of the key's SHA-256.
    """
    key = fact.message_key
    digest = sha256(key.encode()).digest()
    number = key[2:]
    if not key.startswith("m:"):
        near = max(0, int(fact.at.timestamp()))
    elif number.isascii() and number.isdigit() and len(number) < 20:
        near = int(number)
    else:
        return digest
    return near.to_bytes(_NEAR) + digest[_NEAR:]
