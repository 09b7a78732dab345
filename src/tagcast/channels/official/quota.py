"""Tokens, quotas and the platform's own look-ups of a call.

Source: developers.weixin.qq.com/doc/service/api/base and /openApi-mgnt, pages as of 2026-10-07.
"""

from tagcast.channels.calls import Answer, Caller, Done, Token, TokenAnswer
from tagcast.channels.errors import Effect
from tagcast.kit.http import Transport


class RateLimit(Answer):
    """Calls in an interval. The names are not confirmed by a page of the platform; 0 where they were not answered."""

    call_count: int = 0
    refresh_second: int = 0


class Quota(Answer):
    """Calls of one interface today."""

    daily_limit: int
    used: int
    remain: int
    rate: RateLimit = RateLimit()


class RequestLog(Answer):
    """A call as the platform saw it. `request_url` and the bodies can hold a token and name people."""

    invoke_time: int = 0
    cost_in_ms: int = 0
    request_url: str = ""
    request_body: str = ""
    response_body: str = ""
    client_ip: str = ""


class _QuotaAnswer(Answer):
    quota: Quota
    rate_limit: RateLimit = RateLimit()


class _RequestAnswer(Answer):
    request: RequestLog


async def stable_token(
    transport: Transport, base_url: str, appid: str, secret: str, *, force_refresh: bool = False
) -> Token:
    """Fetch the stable access token; while one lives it is the same, with the remaining seconds.

    `force_refresh` kills the old one at once: 20 a day, 30 s apart. Raises `ChannelError`.
    """
    body = {"grant_type": "client_credential", "appid": appid, "secret": secret, "force_refresh": force_refresh}
    answer = await Caller(transport, base_url, "official", None).post("/cgi-bin/stable_token", body, TokenAnswer)
    return Token(answer.access_token, answer.expires_in)


async def reset_all_quotas(transport: Transport, base_url: str, appid: str, secret: str) -> None:
    """Set all of the account's daily counters back without a token: ten times a month, shared with `Quotas.reset_all`.

    The way out when the quota of the token itself is used up. Raises `ChannelError`.
    """
    body = {"appid": appid, "appsecret": secret}
    caller = Caller(transport, base_url, "official", None)
    await caller.post("/cgi-bin/clear_quota/v2", body, Done, effect=Effect.SEND)


class Quotas:
    """How often an interface may be called today. `path` has its leading slash: `/cgi-bin/message/custom/send`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def of(self, path: str) -> Quota:
        """Calls of one interface today. `/sns/` paths have no quota to ask for (76022)."""
        answer = await self._caller.post("/cgi-bin/openapi/quota/get", {"cgi_path": _checked(path)}, _QuotaAnswer)
        return answer.quota.model_copy(update={"rate": answer.rate_limit})

    async def reset(self, path: str) -> None:
        """Set one interface's counter back: 50 times a month."""
        body = {"cgi_path": _checked(path)}
        await self._caller.post("/cgi-bin/openapi/quota/clear", body, Done, effect=Effect.SEND)

    async def reset_all(self, appid: str) -> None:
        """Set all counters back: ten times a month."""
        await self._caller.post("/cgi-bin/clear_quota", {"appid": appid}, Done, effect=Effect.SEND)

    async def request(self, rid: str) -> RequestLog:
        """The call that a request id (`rid`, at the end of an errmsg) stands for; kept for seven days."""
        return (await self._caller.post("/cgi-bin/openapi/rid/get", {"rid": rid}, _RequestAnswer)).request


def _checked(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("an interface is named by its path with the leading slash")
    return path
