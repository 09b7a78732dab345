"""腾讯广告 custom audiences: `https://api.e.qq.com`. Source: developers.e.qq.com, v3.0, pages as of 2026-01-22.

Every call carries the OAuth access token, the time and a nonce in its query; `code` 0 is success. No list of the codes
is published, so every one is shown as it came.
"""

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import urlencode

import orjson
from pydantic import ValidationError

from tagcast.channels.ads.hashing import IdKind
from tagcast.channels.calls import Answer, AnswerT, TokenSource
from tagcast.channels.errors import Effect, lost, refusal, special
from tagcast.channels.multipart import form
from tagcast.kit.http import InDoubt, NotSent, Response, Transport

PAGE = 100


class AudienceStatus(StrEnum):
    """How far an audience is."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    FROZEN = "FROZEN"
    THAWING = "THAWING"
    LOCKING = "LOCKING"


class FileStatus(StrEnum):
    """How far a file is."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"


class Audience(Answer):
    """A custom audience; `status` is normally an `AudienceStatus`, `user_count` the people the platform matched."""

    audience_id: int
    name: str = ""
    type: str = ""
    status: str = ""
    online_status: str = ""
    error_code: int = 0
    user_count: int = 0


class AudienceFile(Answer):
    """An uploaded file; `process_status` is normally a `FileStatus`."""

    audience_id: int
    custom_audience_file_id: int
    user_id_type: str = ""
    operation_type: str = ""
    process_status: str = ""
    process_code: int = 0
    error_message: str = ""
    line_count: int = 0
    valid_line_count: int = 0
    user_count: int = 0


class _PageInfo(Answer):
    page: int = 1
    total_page: int = 1


class _Audiences(Answer):
    list: tuple[Audience, ...] = ()
    page_info: _PageInfo = _PageInfo()


class _Files(Answer):
    list: tuple[AudienceFile, ...] = ()
    page_info: _PageInfo = _PageInfo()


class _AudienceId(Answer):
    audience_id: int


class _FileId(Answer):
    custom_audience_file_id: int


class _Estimate(Answer):
    user_count: int


class AdsClient:
    """Calls for one advertiser. Every method raises `ChannelError`; none repeats a call."""

    def __init__(self, transport: Transport, base_url: str, token: TokenSource, *, account_id: int) -> None:
        self._transport = transport
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._account = account_id

    async def create(self, name: str, *, description: str = "", outer_id: str = "") -> int:
        """Make an audience that files fill; gives its number. `outer_id` is an id of ours, kept by the platform."""
        body = {"account_id": self._account, "name": name, "type": "CUSTOMER_FILE"}
        optional = {"description": description, "outer_audience_id": outer_id}
        body |= {key: value for key, value in optional.items() if value}
        return (await self._post("/v3.0/custom_audiences/add", orjson.dumps(body), _AudienceId)).audience_id

    async def rename(self, audience_id: int, name: str, *, description: str = "") -> None:
        """Change what an audience is called."""
        body: dict[str, Any] = {"account_id": self._account, "audience_id": audience_id, "name": name}
        body |= {"description": description} if description else {}
        await self._post("/v3.0/custom_audiences/update", orjson.dumps(body), Answer, effect=Effect.READ)

    async def delete(self, audience_id: int) -> None:
        """Delete an audience."""
        body = orjson.dumps({"account_id": self._account, "audience_id": audience_id})
        await self._post("/v3.0/custom_audiences/delete", body, Answer, effect=Effect.READ)

    async def all(self) -> AsyncIterator[tuple[Audience, ...]]:
        """Pages of the advertiser's audiences."""
        page = 1
        while True:
            found = await self._get("/v3.0/custom_audiences/get", {"page": page, "page_size": PAGE}, _Audiences)
            yield found.list
            if page >= found.page_info.total_page:
                return
            page += 1

    async def estimate(self, audience_id: int) -> int:
        """How many people the platform expects in an audience."""
        query = {"audience_id": audience_id}
        return (await self._get("/v3.0/custom_audience_estimations/get", query, _Estimate)).user_count

    async def upload(
        self,
        audience_id: int,
        kind: IdKind,
        archive: bytes,
        *,
        operation: Literal["APPEND", "REDUCE"] = "APPEND",
        open_app_id: str = "",
    ) -> int:
        """Add or take away the people of a `hash_file`; gives the file's number. openids need `open_app_id`.

        The same file twice adds nobody twice, so a lost answer may be followed by a second upload.
        """
        if (kind is IdKind.OPENID) != bool(open_app_id):
            raise ValueError("open_app_id belongs to openids, and to nothing else")
        fields = {"account_id": self._account, "audience_id": audience_id, "user_id_type": kind.value}
        fields |= {"operation_type": operation} | ({"open_app_id": open_app_id} if open_app_id else {})
        content_type, body = form({name: str(value) for name, value in fields.items()}, "file", "ids.zip", archive)
        path = "/v3.0/custom_audience_files/add"
        answer = await self._post(path, body, _FileId, effect=Effect.READ, content_type=content_type)
        return answer.custom_audience_file_id

    async def files(self, audience_id: int) -> AsyncIterator[tuple[AudienceFile, ...]]:
        """Pages of an audience's files and what became of them."""
        page = 1
        while True:
            query = {"audience_id": audience_id, "page": page, "page_size": PAGE}
            found = await self._get("/v3.0/custom_audience_files/get", query, _Files)
            yield found.list
            if page >= found.page_info.total_page:
                return
            page += 1

    async def _get(self, path: str, query: Mapping[str, object], shape: type[AnswerT]) -> AnswerT:
        response = await self._send("GET", path, Effect.READ, query={"account_id": self._account, **query})
        return _checked(path, response, Effect.READ, shape)

    async def _post(
        self,
        path: str,
        body: bytes,
        shape: type[AnswerT],
        *,
        effect: Effect = Effect.SEND,
        content_type: str = "application/json",
    ) -> AnswerT:
        response = await self._send("POST", path, effect, body=body, content_type=content_type)
        return _checked(path, response, effect, shape)

    async def _send(
        self,
        method: str,
        path: str,
        effect: Effect,
        *,
        query: Mapping[str, object] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> Response:
        common = {"access_token": await self._token(), "timestamp": int(time.time()), "nonce": secrets.token_hex(16)}
        url = f"{self._base_url}{path}?{urlencode({**common, **(query or {})})}"
        try:
            return await self._transport.request(method, url, body=body, headers={"Content-Type": content_type})
        except NotSent:
            raise special("ads", path.removeprefix("/v3.0/"), "not_sent") from None
        except InDoubt:
            raise lost("ads", path.removeprefix("/v3.0/"), effect=effect) from None


def _checked(path: str, response: Response, effect: Effect, shape: type[AnswerT]) -> AnswerT:
    operation = path.removeprefix("/v3.0/")
    if response.status >= 500 or response.status == 408:
        raise lost("ads", operation, effect=effect)
    if response.status == 429:
        raise special("ads", operation, "http_busy")
    if response.status != 200:
        raise special("ads", operation, "http_refused")
    try:
        answer = orjson.loads(response.body)
        code, data = answer["code"], answer.get("data") or {}
        if code:
            words = str(answer.get("message_cn") or answer.get("message") or "")
            raise refusal("ads", operation, int(code), errmsg=words, effect=effect)
        return shape.model_validate(data)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
        raise lost("ads", operation, effect=effect) from None
