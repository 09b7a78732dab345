"""Who a visitor is: web OAuth (网页授权, 服务号 only) and the login of a 小程序.

Source: developers.weixin.qq.com/doc/service/api/webdev/access and /miniprogram/dev/OpenApiDoc/user-login, pages as of
2026-10-07. Codes work once and for five minutes; a lost answer has used one up, and the visitor has to come again.
"""

from typing import Literal
from urllib.parse import urlencode

from pydantic import Field

from tagcast.channels.calls import Answer, Caller, Done, TokenSource
from tagcast.channels.errors import ChannelError, Effect
from tagcast.channels.official.notices import Subscriptions
from tagcast.kit.http import Transport

OPEN_URL = "https://open.weixin.qq.com"
"""The host of the page that asks a visitor."""
MAX_STATE_BYTES = 128
"""Length of the state that comes back with the code."""

OAuthScope = Literal["snsapi_base", "snsapi_userinfo"]


class Grant(Answer):
    """What a visitor granted. `access_token` is his, not the account's, and lives `expires_in` seconds.

    `is_snapshotuser` 1: a made-up visitor (快照页), whose openid stands for nobody.
    """

    access_token: str = Field(repr=False)
    expires_in: int
    refresh_token: str = Field(repr=False)
    openid: str
    scope: str
    unionid: str = ""
    is_snapshotuser: int = 0


class Visitor(Answer):
    """What a visitor shows of himself."""

    openid: str
    nickname: str = ""
    sex: int = 0
    province: str = ""
    city: str = ""
    country: str = ""
    headimgurl: str = ""
    privilege: tuple[str, ...] = ()
    unionid: str = ""


class Session(Answer):
    """A login to a 小程序; `unionid` only where it is bound to an Open Platform account."""

    openid: str
    session_key: str = Field(repr=False)
    unionid: str = ""


class PhoneNumber(Answer):
    """A verified phone number, which the user agreed to give; `purePhoneNumber` has no country code."""

    phoneNumber: str = Field(repr=False)  # noqa: N815 - the platform's name
    purePhoneNumber: str = Field(repr=False)  # noqa: N815 - the platform's name
    countryCode: str  # noqa: N815 - the platform's name


class _PhoneAnswer(Answer):
    phone_info: PhoneNumber


class OAuth:
    """Web OAuth of one 服务号; 50,000 calls a minute each. Every method raises `ChannelError`; none repeats a call."""

    def __init__(
        self, transport: Transport, base_url: str, appid: str, secret: str, *, open_url: str = OPEN_URL
    ) -> None:
        self._caller = Caller(transport, base_url, "official", None)
        self._open_url = open_url.rstrip("/")
        self._appid = appid
        self._secret = secret

    def authorize_url(self, redirect_uri: str, *, scope: OAuthScope = "snsapi_base", state: str = "") -> str:
        """Where to send a visitor; he comes back to `redirect_uri` with `code` and `state`.

        `snsapi_base` gives the openid silently, `snsapi_userinfo` asks him. Raises ValueError for a state that is too
        long or has other characters than letters and digits.
        """
        if len(state) > MAX_STATE_BYTES or (state and not (state.isascii() and state.isalnum())):
            raise ValueError(f"a state has at most {MAX_STATE_BYTES} letters and digits")
        query = {
            "appid": self._appid,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": scope,
            "state": state,
        }
        return f"{self._open_url}/connect/oauth2/authorize?{urlencode(query)}#wechat_redirect"

    async def grant(self, code: str) -> Grant:
        """Exchange the code that a visitor came back with."""
        query = {"appid": self._appid, "secret": self._secret, "code": code, "grant_type": "authorization_code"}
        return await self._caller.get("/sns/oauth2/access_token", Grant, query=query, effect=Effect.SEND)

    async def renew(self, refresh_token: str) -> Grant:
        """Another grant for a refresh token, which lives 30 days and is replaced by the one in the answer."""
        query = {"appid": self._appid, "grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self._caller.get("/sns/oauth2/refresh_token", Grant, query=query, effect=Effect.SEND)

    async def visitor(self, grant: Grant, *, language: str = "zh_CN") -> Visitor:
        """Name and picture of a visitor who granted `snsapi_userinfo`."""
        query = {"access_token": grant.access_token, "openid": grant.openid, "lang": language}
        return await self._caller.get("/sns/userinfo", Visitor, query=query)

    async def is_valid(self, grant: Grant) -> bool:
        """Whether a grant's access token still works."""
        query = {"access_token": grant.access_token, "openid": grant.openid}
        try:
            await self._caller.get("/sns/auth", Done, query=query)
        except ChannelError as error:
            if error.reason != "oauth_token":
                raise
            return False
        return True


class MiniProgramLogin:
    """Logins to one 小程序, asked with its secret. Every method raises `ChannelError`; none repeats a call."""

    def __init__(self, transport: Transport, base_url: str, appid: str, secret: str) -> None:
        self._caller = Caller(transport, base_url, "official", None)
        self._appid = appid
        self._secret = secret

    async def session(self, code: str) -> Session:
        """Exchange the code of wx.login. `session_key` must not leave the server."""
        query = {"appid": self._appid, "secret": self._secret, "js_code": code, "grant_type": "authorization_code"}
        return await self._caller.get("/sns/jscode2session", Session, query=query, effect=Effect.SEND)


class MiniProgramClient:
    """Calls of one 小程序 with its access token (`stable_token` gives it)."""

    def __init__(self, transport: Transport, base_url: str, token: TokenSource) -> None:
        self._caller = caller = Caller(transport, base_url, "official", token)
        self.subscriptions = Subscriptions(caller)

    async def phone_number(self, code: str, *, openid: str = "") -> PhoneNumber:
        """The number that a user agreed to give, for the code of his tap. Works once; paid after a free quota."""
        body = {"code": code} | ({"openid": openid} if openid else {})
        answer = await self._caller.post("/wxa/business/getuserphonenumber", body, _PhoneAnswer, effect=Effect.SEND)
        return answer.phone_info
