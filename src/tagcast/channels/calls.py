"""One call to a platform: URL with token, JSON body, an answer that is not trusted, failures as `ChannelError`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tagcast.channels.errors import Effect, Platform, lost, refusal, special
from tagcast.channels.multipart import form
from tagcast.kit.http import InDoubt, NotSent, Response, Transport

TokenSource = Callable[[], Awaitable[str]]
"""Gives the account's current access token; whoever owns the account renews it."""

_JSON: Mapping[str, str] = {"Content-Type": "application/json"}
_NO_FIELDS: Mapping[str, str] = {}


class Answer(BaseModel):
    """Base of every answer's shape: unknown names are ignored, null means absent, a wrong type is a broken answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: object) -> object:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


class Done(Answer):
    """An answer of which only the success matters."""


AnswerT = TypeVar("AnswerT", bound=Answer)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and the seconds it is still good for."""

    value: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that the platform gave, with its media type."""

    content: bytes = field(repr=False)
    content_type: str


class TokenAnswer(Answer):
    """What both platforms answer when asked for a token."""

    access_token: str
    expires_in: int


class Caller:
    """Calls of one account on one platform. Never repeats a call and never renews a token."""

    def __init__(self, transport: Transport, base_url: str, platform: Platform, token: TokenSource | None) -> None:
        self._transport = transport
        self._base_url = base_url.rstrip("/")
        self._platform: Platform = platform
        self._token = token
        self._urls: dict[str, tuple[str, str]] = {}

    async def get(
        self,
        path: str,
        shape: type[AnswerT],
        *,
        query: Mapping[str, str] | None = None,
        effect: Effect = Effect.READ,
    ) -> AnswerT:
        """Get `path`; `effect` for the few that use something up."""
        response = await self._send("GET", path, effect, query=query)
        return self.shaped(path, self.checked(path, response, effect), shape, effect)

    async def download(
        self, path: str, *, query: Mapping[str, str] | None = None, body: object = None
    ) -> Downloaded | dict[str, Any]:
        """A file, or the checked JSON object that some kinds of file are answered with; posts `body` where given."""
        sent = None if body is None else orjson.dumps(body)
        response = await self._send("GET" if sent is None else "POST", path, Effect.READ, query=query, body=sent)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if response.status == 200 and response.body and not (kind.endswith("json") or kind.startswith("text/")):
            return Downloaded(response.body, kind)
        return self.checked(path, response, Effect.READ)

    async def post(self, path: str, body: object, shape: type[AnswerT], *, effect: Effect = Effect.READ) -> AnswerT:
        """Post `body` as JSON (UTF-8, no escapes). `effect` decides what a lost answer means."""
        data = await self.post_bytes(path, orjson.dumps(body), effect=effect)
        return self.shaped(path, data, shape, effect)

    async def post_bytes(self, path: str, body: bytes, *, effect: Effect) -> dict[str, Any]:
        """Post a ready JSON body and give the checked answer as it is."""
        return self.checked(path, await self._send("POST", path, effect, body=body), effect)

    async def upload(
        self,
        path: str,
        name: str,
        content: bytes,
        shape: type[AnswerT],
        *,
        query: Mapping[str, str] | None = None,
        fields: Mapping[str, str] = _NO_FIELDS,
    ) -> AnswerT:
        """Post a file as the multipart field `media`. An upload may be repeated: at worst a copy stays behind."""
        content_type, body = form(fields, "media", name, content)
        headers = {"Content-Type": content_type}
        response = await self._send("POST", path, Effect.READ, query=query, body=body, headers=headers)
        return self.shaped(path, self.checked(path, response, Effect.READ), shape, Effect.READ)

    def checked(self, path: str, response: Response, effect: Effect) -> dict[str, Any]:
        """The answer's JSON object once its status and errcode say success. Raises `ChannelError` otherwise."""
        operation = _operation(path)
        if response.status >= 500 or response.status == 408:
            raise lost(self._platform, operation, effect=effect)
        if response.status == 429:
            raise special(self._platform, operation, "http_busy")
        if response.status != 200:
            raise special(self._platform, operation, "http_refused")
        try:
            data = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            raise lost(self._platform, operation, effect=effect) from None
        code = data.get("errcode", 0) if isinstance(data, dict) else None
        if type(code) is not int:
            raise lost(self._platform, operation, effect=effect)
        if code:
            error = refusal(self._platform, operation, code, errmsg=str(data.get("errmsg", "")), effect=effect)
            error.answer = data
            raise error
        assert isinstance(data, dict)
        return data

    def shaped(self, path: str, data: dict[str, Any], shape: type[AnswerT], effect: Effect = Effect.READ) -> AnswerT:
        """The answer in its shape. One that does not fit is a lost answer."""
        try:
            return shape.model_validate(data)
        except ValidationError:
            raise lost(self._platform, _operation(path), effect=effect) from None

    async def _send(
        self,
        method: str,
        path: str,
        effect: Effect,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] = _JSON,
    ) -> Response:
        url = self._url(path, "" if self._token is None else await self._token())
        if query:
            url = f"{url}{'?' if self._token is None else '&'}{urlencode(query)}"
        try:
            return await self._transport.request(method, url, body=body, headers=headers)
        except NotSent:
            raise special(self._platform, _operation(path), "not_sent") from None
        except InDoubt:
            raise lost(self._platform, _operation(path), effect=effect) from None

    def _url(self, path: str, token: str) -> str:
        """The address of `path` with the token, made once for each token."""
        known = self._urls.get(path)
        if known is not None and known[0] == token:
            return known[1]
        url = f"{self._base_url}{path}"
        if self._token is not None:
            url = f"{url}?{urlencode({'access_token': token})}"
        self._urls[path] = (token, url)
        return url


def too_many(items: int, limit: int, *, least: int = 0) -> None:
    """Raises ValueError when a caller put more, or less, into one call than the platform takes."""
    if items > limit:
        raise ValueError(f"{items} items in one call, at most {limit}")
    if items < least:
        raise ValueError(f"{items} items in one call, at least {least}")


def _operation(path: str) -> str:
    return path.removeprefix("/cgi-bin").removeprefix("/")
