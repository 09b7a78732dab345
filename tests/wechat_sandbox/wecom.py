"""Shared by the tests of the 企业微信 side: events as they arrive, and who has whom."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import xmltodict
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox, wait_for
from wechatpy.enterprise.crypto import WeChatCrypto

CONTACT = "externalcontact"


def listening(sandbox: Sandbox, receiver: Receiver, **more: Any) -> Client:
    """A corp of five members whose events go to the receiver; everybody is a customer."""
    return sandbox.account("wecom", **{"reach": 1, "employees": 5, "callback_url": receiver.url, **more})


def events(client: Client, receiver: Receiver, count: int) -> list[dict[str, Any]]:
    """The first `count` events, decrypted with a foreign library, in the order of arrival."""
    wait_for(lambda: len(receiver.requests) >= count)
    wait_for(lambda: client.sandbox.get("/sandbox/health")["pending"]["callbacks"] == 0)
    crypto = WeChatCrypto(client.account["token"], client.account["encoding_aes_key"], client.account["corpid"])
    found = []
    for path, query, body, _ in receiver.requests:
        assert urlsplit(path).path == "/"
        text = crypto.decrypt_message(body, query["msg_signature"], query["timestamp"], query["nonce"])
        found.append(dict(xmltodict.parse(text)["xml"]))
    return found


def by_member(client: Client) -> dict[str, list[str]]:
    """external_userids per userid."""
    found: dict[str, list[str]] = {}
    for row in client.sandbox.people():
        entry = row["ids"][str(client.id)]
        for userid in entry["employees"]:
            found.setdefault(userid, []).append(entry["external_userid"])
    return found


def control(client: Client, path: str, body: dict[str, Any] | None = None) -> Any:
    """A control call about this account; it must succeed."""
    status, answer = client.sandbox.call("POST", f"/sandbox/wecom/{path}", {"account": client.id, **(body or {})})
    assert status in (200, 201), answer
    return answer


def failing(client: Client, path: str) -> Callable[..., int]:
    """The errcode of one path for given fields."""
    return lambda **fields: client.code(f"{CONTACT}/{path}", fields)
