"""Bodies of multipart/form-data with one file, as the platforms take them."""

import secrets
from collections.abc import Mapping
from urllib.parse import quote


def form(fields: Mapping[str, str], file_field: str, file_name: str, content: bytes) -> tuple[str, bytes]:
    """(content type, body) of text fields and one file, whose part says its `filelength` too: 企业微信 asks for it."""
    border = secrets.token_hex(16)
    pieces = [
        f'--{border}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = (
        f'--{border}\r\nContent-Disposition: form-data; name="{file_field}"; filename="{quote(file_name)}"; '
        f"filelength={len(content)}\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    pieces += [head.encode(), content, f"\r\n--{border}--\r\n".encode()]
    return f"multipart/form-data; boundary={border}", b"".join(pieces)
