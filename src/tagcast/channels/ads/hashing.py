"""Files of hashed ids for a custom audience: hashed here, so that no raw phone number leaves."""

import io
import re
import zipfile
from collections.abc import Iterable
from enum import StrEnum
from hashlib import md5, sha256

MAX_ZIP_BYTES = 100 * 1024 * 1024
"""Largest archive that the platform takes. Source: developers.e.qq.com custom_audience_files/add."""
_PHONE = re.compile(r"1[3-9]\d{9}")
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class IdKind(StrEnum):
    """`user_id_type`: what the lines of a file are."""

    PHONE_MD5 = "HASH_MOBILE_PHONE"
    PHONE_SHA256 = "SHA256_MOBILE_PHONE"
    OPENID = "WECHAT_OPENID"
    UNIONID = "WX_UNIONID"


def hash_file(kind: IdKind, ids: Iterable[str]) -> bytes:
    """A zip archive of one text file with one line an id, sorted and without repetitions; the same ids, the same bytes.

    Phone numbers are the 11 digits of the Chinese mainland; a leading +86 or 86 and separators are taken off, what is
    no such number is a ValueError that does not name it. Raises ValueError beyond 100 MB too.
    """
    lines = sorted({_line(kind, one) for one in ids})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("ids.txt", _ZIP_TIME), "".join(f"{line}\n" for line in lines))
    content = packed.getvalue()
    if len(content) > MAX_ZIP_BYTES:
        raise ValueError("an audience file may have 100 MB; upload it in parts")
    return content


def _line(kind: IdKind, value: str) -> str:
    if kind in (IdKind.OPENID, IdKind.UNIONID):
        return value
    digits = re.sub(r"[\s\-()]", "", value).removeprefix("+")
    digits = digits.removeprefix("86") if len(digits) == 13 else digits
    if not _PHONE.fullmatch(digits):
        raise ValueError("not a mobile number of the Chinese mainland")
    digest = md5 if kind is IdKind.PHONE_MD5 else sha256
    return digest(digits.encode()).hexdigest()
