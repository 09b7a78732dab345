"""Errors as problem+json (RFC 9457): a stable code, a sentence and a remedy in the caller's language."""

import http
import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tagcast import access
from tagcast.kit.errors import Invalid, Lang, NotFound, TagcastError, Unavailable

MEDIA_TYPE = "application/problem+json"

MAX_BODY = 32 * 1024 * 1024
"""Bytes of a request body; larger tables are imported in parts or by the command line."""

_TITLES: dict[int, tuple[str, str]] = {
    400: ("请求无法读取", "Bad request"),
    401: ("未授权", "Unauthorized"),
    403: ("规则不允许", "Refused"),
    404: ("不存在", "Not found"),
    405: ("方法不支持", "Method not allowed"),
    409: ("冲突", "Conflict"),
    413: ("请求过大", "Too large"),
    422: ("输入有误", "Invalid"),
    500: ("内部错误", "Unexpected error"),
    503: ("暂不可用", "Unavailable"),
}


class Problem(BaseModel):
    """What every error answer looks like."""

    type: str = Field(description="错误类型的相对地址 · Relative address of the kind of problem: `/problems/<code>`.")
    title: str = Field(description="类别 · The kind of problem, short.")
    status: int = Field(description="HTTP 状态码 · The HTTP status.")
    detail: str = Field(description="具体说明 · What is wrong, naming the thing.")
    code: str = Field(description="稳定的错误码 · Stable code, `module.name`; decide by this one.")
    remedy: str = Field(description="处理办法 · What to do about it.")
    params: dict[str, Any] = Field(description="错误涉及的值 · The values that the sentences name.")


def language(accepted: str, default: str = "") -> Lang:
    """The first of zh and en that `Accept-Language` asks for, by weight; else the default, else English."""
    ranked = []
    for place, part in enumerate(accepted.lower().split(",")):
        name, _, weight = part.strip().partition(";q=")
        try:
            ranked.append((-float(weight or 1), place, name[:2]))
        except ValueError:
            continue
    for weight_, _, name in sorted(ranked):
        if name in {"zh", "en"} and weight_ < 0:
            return "zh" if name == "zh" else "en"
    return "zh" if default == "zh" else "en"


def problem(error: TagcastError, lang: Lang, *, status: int = 0, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for an error."""
    status = status or error.status
    zh, en = _TITLES.get(status) or (http.HTTPStatus(status).phrase,) * 2
    body = {
        "type": f"/problems/{error.code}",
        "title": zh if lang == "zh" else en,
        "status": status,
        "detail": error.text(lang),
        "code": error.code,
        "remedy": error.remedy(lang),
        "params": error.params,
    }
    sent = {"Content-Language": "zh-CN" if lang == "zh" else "en", **(headers or {})}
    return Response(_encoded(body), status, sent, MEDIA_TYPE)


def _encoded(body: Mapping[str, Any]) -> bytes:
    """As JSON, also with what was sent: integers of any size, halves of a character pair."""
    try:
        return orjson.dumps(body, default=str)
    except TypeError:
        return json.dumps(body, default=str).encode()


def install(app: FastAPI) -> None:
    """Answer every error of the API in this shape."""
    app.add_exception_handler(TagcastError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OperationalError, _database)
    app.add_exception_handler(OverflowError, _overflow)
    app.add_exception_handler(access.Replayed, _replayed)
    app.add_exception_handler(Exception, _unexpected)


def asked(request: Request) -> Lang:
    """The language of a request."""
    return language(request.headers.get("accept-language", ""), request.app.state.runtime.settings.lang)


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, TagcastError)
    return problem(error, asked(request))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # What was sent stays out: it may be somebody's phone number.
    errors = [{"where": _where(one["loc"]), "problem": str(one["msg"])} for one in error.errors()]
    first = f"{errors[0]['where']}: {errors[0]['problem']}" if errors else ""
    return problem(Invalid("server.invalid_input", first=first, errors=errors), asked(request))


def _where(place: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in place)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path, headers = request.url.path, error.headers
    made: TagcastError
    if error.status_code == 401:
        made = TagcastError("server.unauthorized")
    elif error.status_code == 413:
        made = TagcastError("server.body_too_large", limit=MAX_BODY)
    elif error.status_code == 404:
        made = NotFound("server.no_route", path=path)
    elif error.status_code == 405:
        made = TagcastError("server.bad_method", path=path, method=request.method)
    else:
        made = TagcastError("server.bad_request", status=error.status_code)
    return problem(made, asked(request), status=error.status_code, headers=headers)


async def _database(request: Request, error: Exception) -> Response:
    assert isinstance(error, OperationalError)
    return problem(Unavailable("kit.database_unreachable", reason=type(error.orig).__name__), asked(request))


async def _overflow(request: Request, _error: Exception) -> Response:
    """A number beyond what SQLite holds; PostgreSQL finds nothing under it."""
    return problem(Invalid("server.number_too_large", path=request.url.path), asked(request))


async def _replayed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, access.Replayed)
    headers = {"Idempotency-Replayed": "true"}
    return Response(error.body, error.status, headers, "application/json")


async def _unexpected(request: Request, _error: Exception) -> Response:
    identity = request.scope.get("state", {}).get("request_id", "")
    return problem(TagcastError("server.unexpected", request=identity), asked(request))
