"""An independent judge: wechatpy's crypto opens what ours seals, and ours opens what wechatpy's seals."""

import time

import pytest
from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.enterprise.crypto import WeChatCrypto as WorkCrypto
from wechatpy.exceptions import InvalidSignatureException

from tagcast.channels import (
    BadCallback,
    CallbackKeys,
    encrypt,
    encrypt_reply,
    open_callback,
    open_echo,
    signature,
)
from tagcast.channels.crypto import read_xml

OFFICIAL = CallbackKeys("QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", "wx5823bf96d3bd56c7")
WORK = CallbackKeys(
    "kjr2TKI8umCBfVF3wAHk8JiPwma5VBme", "4Ma3YBrSBbX2aez8MJpXGBne5LSDwgGqHbhM9WPYIws", "ww6a112864f8022910"
)
PEERS = {OFFICIAL: WeChatCrypto, WORK: WorkCrypto}
MESSAGES = [
    "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[o-1]]></FromUserName><CreateTime>1780000000"
    "</CreateTime><MsgType><![CDATA[text]]></MsgType>"
    f"<Content><![CDATA[{'活动' * size}]]></Content><MsgId>7</MsgId></xml>"
    for size in (0, 1, 5, 6, 10, 11, 100)
]


@pytest.mark.parametrize("keys", PEERS, ids=["official", "work"])
@pytest.mark.parametrize("xml", MESSAGES, ids=len)
def test_what_we_seal_the_peer_opens(keys: CallbackKeys, xml: str) -> None:
    peer = PEERS[keys](keys.token, keys.aes_key, keys.receive_id)
    encrypted, at, nonce = encrypt(keys, xml.encode()), str(int(time.time())), "n1"
    body = f"<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    opened = peer.decrypt_message(body, signature(keys.token, at, nonce, encrypted), at, nonce)
    assert (parse_message(opened).content or "") == read_xml(xml.encode())["Content"]
    with pytest.raises(InvalidSignatureException):
        peer.decrypt_message(body, signature(keys.token + "x", at, nonce, encrypted), at, nonce)


@pytest.mark.parametrize("keys", PEERS, ids=["official", "work"])
@pytest.mark.parametrize("xml", MESSAGES, ids=len)
def test_what_the_peer_seals_we_open(keys: CallbackKeys, xml: str) -> None:
    peer, now = PEERS[keys](keys.token, keys.aes_key, keys.receive_id), int(time.time())
    reply = read_xml(peer.encrypt_message(xml, "n1", str(now)).encode())
    query = f"msg_signature={reply['MsgSignature']}&timestamp={now}&nonce=n1".encode()
    body = f"<xml><Encrypt><![CDATA[{reply['Encrypt']}]]></Encrypt></xml>".encode()
    assert open_callback(keys, query, body, now=now).fields == read_xml(xml.encode())
    with pytest.raises(BadCallback):
        open_callback(keys, query.replace(b"nonce=n1", b"nonce=n2"), body, now=now)


def test_the_peer_and_we_agree_on_the_url_check() -> None:
    peer, now = WorkCrypto(WORK.token, WORK.aes_key, WORK.receive_id), int(time.time())
    echo = encrypt(WORK, b"1616140317555161061")
    signed = signature(WORK.token, str(now), "n1", echo)
    assert peer.check_signature(signed, str(now), "n1", echo) == "1616140317555161061"
    escaped = echo.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    query = f"msg_signature={signed}&timestamp={now}&nonce=n1&echostr={escaped}".encode()
    assert open_echo(WORK, query, now=now) == b"1616140317555161061"


def test_our_reply_is_opened_by_the_peer() -> None:
    peer, now = WeChatCrypto(OFFICIAL.token, OFFICIAL.aes_key, OFFICIAL.receive_id), int(time.time())
    reply = encrypt_reply(OFFICIAL, MESSAGES[1].encode(), now=now, nonce="abc")
    assert (
        parse_message(peer.decrypt_message(reply, read_xml(reply)["MsgSignature"], str(now), "abc")).content == "活动"
    )
