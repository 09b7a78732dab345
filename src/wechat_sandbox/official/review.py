"""The platform's review of contents, decided by the words of `review.toml`."""

import tomllib
from importlib.resources import files
from typing import Any

_DATA: dict[str, dict[str, list[str]]] = tomllib.loads(
    files("wechat_sandbox.official").joinpath("review.toml").read_text("utf-8")
)
_CHECK_STATE = {"": 1, "allowed": 2, "refused": 3}


def verdict(table: str, text: str) -> int:
    """The code that a word of the text brings with it in one of the tables; 0 when there is none."""
    return next((int(code) for code, words in _DATA[table].items() if any(word in text for word in words)), 0)


def reprint(text: str) -> str:
    """What the originality check says of an article: `` (original), `allowed` or `refused`."""
    return next((kind for kind, words in _DATA["reprint"].items() if any(word in text for word in words)), "")


def copyright_check(texts: list[str], ignore: bool) -> tuple[dict[str, Any], int]:
    """The event's CopyrightCheckResult and the N of err(N), 0 when the articles may be sent.

    CheckState 1 no reprint, 2 reprint that may be sent, 3 reprint that may not (the numbers are UNCONFIRMED).
    """
    kinds = [reprint(text) for text in texts]
    code = 30002 if "refused" in kinds else 30003 if "allowed" in kinds and not ignore else 0
    rows = [
        {
            "ArticleIdx": number,
            "UserDeclareState": 0,
            "AuditState": _CHECK_STATE[kind],
            "OriginalArticleUrl": "http://mp.weixin.qq.com/s?sandbox=original",
            "OriginalArticleType": 1,
            "CanReprint": int(kind == "allowed"),
            "NeedReplaceContent": int(kind == "allowed"),
            "NeedShowReprintSource": int(kind == "allowed"),
        }
        for number, kind in enumerate(kinds, 1)
        if kind
    ]
    state = 3 if code else 2 if rows else 1
    return {"Count": len(rows), "ResultList": rows, "CheckState": state if texts else 0}, code
