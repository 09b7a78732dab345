"""The one door of the HTTP API: a valid key, or 401. Routes take the caller from here and from nowhere else.

A write with an `Idempotency-Key` is done once: its answer is stored in the same transaction as its effect. The same key
with the same request gives the stored answer; with another request it is refused.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from tagcast.access import store
from tagcast.access.actions import Caller, authenticate
from tagcast.kit.crypto import digest
from tagcast.kit.errors import Conflict
from tagcast.kit.uow import Runtime, Work

T = TypeVar("T", bound=BaseModel)

_bearer = HTTPBearer(auto_error=False, description="An API key made by `tagcast init` or `tagcast key issue`.")


class Replayed(Exception):
    """This write was done before: here is its answer."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Entry:
    """An authenticated request: opens units of work in the caller's workspace."""

    runtime: Runtime
    caller: Caller
    idempotency_key: str | None
    request_digest: str
    status: int

    def read(self) -> AbstractContextManager[Work]:
        """A read transaction."""
        return self.runtime.read(self.caller.workspace, self.caller.actor)

    def write(self, use_case: Callable[[Work], T]) -> T:
        """Run a use case in one transaction, once per Idempotency-Key. Raises Replayed; Conflict for a reused key."""
        with self.runtime.work(self.caller.workspace, self.caller.actor) as work:
            if self.idempotency_key is None:
                return use_case(work)
            stored = store.find_answer(work, self.idempotency_key)
            if stored is not None:
                if stored.request_digest != self.request_digest:
                    raise Conflict("access.key_reused", key=self.idempotency_key)
                raise Replayed(stored.status, stored.body)
            answer = use_case(work)
            store.insert_answer(work, self.idempotency_key, self.request_digest, self.status, answer.model_dump_json())
            return answer


async def _enter(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    idempotency_key: Annotated[
        str | None, Header(max_length=255, description="Makes a repeated write harmless: same key, same answer.")
    ] = None,
) -> Entry:
    runtime: Runtime = request.app.state.runtime
    caller = authenticate(runtime, credentials.credentials) if credentials is not None else None
    if caller is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    digest_ = ""
    if idempotency_key is not None:
        digest_ = digest(request.method, request.url.path, request.url.query, await request.body())
    status = getattr(request.scope.get("route"), "status_code", None) or 200
    return Entry(runtime, caller, idempotency_key, digest_, status)


Guarded = Annotated[Entry, Depends(_enter)]
