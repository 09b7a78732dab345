"""`/livez`: the process answers. `/readyz`: the database answers and is at this version."""

from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from tagcast import access
from tagcast.kit.errors import Unavailable
from tagcast.kit.uow import Runtime

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The answer when all is well."""

    status: str


@router.get("/livez", summary="进程存活 · The process answers")
async def live() -> Health:
    """Says nothing about the database."""
    return Health(status="ok")


@router.get("/readyz", summary="可以服务 · Ready to serve")
def ready(request: Request) -> Health:
    """503 while the database does not answer or needs `tagcast migrate`."""
    runtime: Runtime = request.app.state.runtime
    try:
        current = access.is_current(runtime)
    except SQLAlchemyError as error:
        raise Unavailable("server.not_ready", reason=type(error).__name__) from error
    if not current:
        raise Unavailable("server.not_migrated")
    return Health(status="ok")
