"""Callback cryptography of both platforms: AES-256-CBC, PKCS#7 to 32 bytes, sorted SHA-1 signatures.

WeChat's scheme: plaintext = random(16) + length(4, big-endian) + message + receive id.
"""

import base64
import hashlib
import os
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK = 32


def signature(*parts: str) -> str:
    """SHA-1 hex of the sorted parts put together."""
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()  # noqa: S324 - the platform's scheme


def new_key() -> str:
    """A fresh EncodingAESKey: 43 characters that decode to 32 bytes."""
    while True:
        key = base64.b64encode(os.urandom(32)).decode().rstrip("=")
        if key.isalnum():
            return key


def _cipher(encoding_aes_key: str) -> Cipher[modes.CBC]:
    key = base64.b64decode(encoding_aes_key + "=")
    return Cipher(algorithms.AES(key), modes.CBC(key[:16]))


def encrypt(encoding_aes_key: str, message: bytes, receive_id: str) -> str:
    """The base64 text that goes into `<Encrypt>` (or `echostr`)."""
    plain = os.urandom(16) + struct.pack(">I", len(message)) + message + receive_id.encode()
    pad = _BLOCK - len(plain) % _BLOCK
    encryptor = _cipher(encoding_aes_key).encryptor()
    return base64.b64encode(encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()).decode()


def decrypt(encoding_aes_key: str, encrypted: str) -> tuple[bytes, str]:
    """Message and receive id of an `<Encrypt>` text; ValueError when it is not one."""
    decryptor = _cipher(encoding_aes_key).decryptor()
    plain = decryptor.update(base64.b64decode(encrypted)) + decryptor.finalize()
    pad = plain[-1]
    if not 1 <= pad <= _BLOCK:
        raise ValueError("bad padding")
    content = plain[16:-pad]
    length = struct.unpack(">I", content[:4])[0]
    return content[4 : 4 + length], content[4 + length :].decode()
