"""QR codes that carry a scene (带参数二维码): who scans one is known by it in the `subscribe` or `SCAN` callback.

Source: developers.weixin.qq.com/doc/service/api/qrcode, pages as of 2026-10-07.
"""

from typing import Any
from urllib.parse import urlencode

from tagcast.channels.calls import Answer, Caller

MAX_SECONDS = 2_592_000
"""Longest life of a temporary code, in seconds: 30 days."""
MAX_SCENE_CHARS = 64
"""Length of a scene that is a text."""
MAX_PERMANENT_SCENE = 100_000
"""Largest number of a permanent code's scene; also how many permanent codes an account can have (45029)."""
MAX_TEMPORARY_SCENE = 2**32 - 1
"""Largest number of a temporary code's scene."""
SHOW_URL = "https://mp.weixin.qq.com"
"""The host of the pictures."""

Scene = int | str


class QrCode(Answer):
    """A code: `url` is what it says, `ticket` fetches its picture; `expire_seconds` is 0 for a permanent one."""

    ticket: str
    url: str
    expire_seconds: int = 0


class QrCodes:
    """Codes with a scene, which is a number or a text. A scene that is out of bounds raises ValueError."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def temporary(self, scene: Scene, *, seconds: int) -> QrCode:
        """A code for at most 30 days; there may be as many as one likes."""
        if not 0 < seconds <= MAX_SECONDS:
            raise ValueError(f"a temporary code lives 1 to {MAX_SECONDS} seconds")
        action = "QR_STR_SCENE" if isinstance(scene, str) else "QR_SCENE"
        body = {"expire_seconds": seconds} | _body(action, scene, MAX_TEMPORARY_SCENE)
        return await self._caller.post("/cgi-bin/qrcode/create", body, QrCode)

    async def permanent(self, scene: Scene) -> QrCode:
        """A code for ever; an account has at most 100,000. Ask once for each scene and keep the answer."""
        action = "QR_LIMIT_STR_SCENE" if isinstance(scene, str) else "QR_LIMIT_SCENE"
        body = _body(action, scene, MAX_PERMANENT_SCENE)
        return await self._caller.post("/cgi-bin/qrcode/create", body, QrCode)


def picture_url(code: QrCode, *, base_url: str = SHOW_URL) -> str:
    """Where the code's picture is; no token is needed."""
    return f"{base_url}/cgi-bin/showqrcode?{urlencode({'ticket': code.ticket})}"


def _body(action: str, scene: Scene, largest: int) -> dict[str, Any]:
    if isinstance(scene, str):
        if not 0 < len(scene) <= MAX_SCENE_CHARS:
            raise ValueError(f"a scene has 1 to {MAX_SCENE_CHARS} characters")
        return {"action_name": action, "action_info": {"scene": {"scene_str": scene}}}
    if not 0 < scene <= largest:
        raise ValueError(f"a scene is a number of 1 to {largest}")
    return {"action_name": action, "action_info": {"scene": {"scene_id": scene}}}
