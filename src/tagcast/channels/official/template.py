"""The fast path of template messages: the JSON is cut into literal parts once and joined for each recipient."""

from collections.abc import Sequence

import orjson

from tagcast.channels.messages import TemplateMessage


class TemplateCall:
    """One template message to many people: prepared once, `body` per recipient.

    `keywords` is the order in which `body` takes the values; it is the order of `message.data`.
    """

    __slots__ = ("_after_touser", "_before_url", "_head", "_parts", "keywords")

    def __init__(self, message: TemplateMessage) -> None:
        self.keywords = tuple(message.data)
        head: dict[str, object] = {"template_id": message.template_id}
        if message.app_id:
            head["miniprogram"] = {"appid": message.app_id, "pagepath": message.page}
        self._head = orjson.dumps(head)[:-1] + b',"touser":'
        self._after_touser = b',"data":{'
        names = [orjson.dumps(keyword) + b':{"value":' for keyword in self.keywords]
        self._parts = tuple(name if i == 0 else b"}," + name for i, name in enumerate(names))
        self._before_url = (b"}}" if names else b"}") + b',"client_msg_id":'

    def body(self, openid: str, values: Sequence[str], *, client_msg_id: str, url: str = "") -> bytes:
        """The JSON for one recipient. Raises ValueError unless there is a value for every keyword."""
        pieces = [self._head, orjson.dumps(openid), self._after_touser]
        for part, value in zip(self._parts, values, strict=True):
            pieces.append(part)
            pieces.append(orjson.dumps(value))
        pieces.append(self._before_url)
        pieces.append(orjson.dumps(client_msg_id))
        if url:
            pieces.append(b',"url":')
            pieces.append(orjson.dumps(url))
        pieces.append(b"}")
        return b"".join(pieces)
