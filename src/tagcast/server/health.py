"""`/livez`: the process answers. `/readyz`: the database answers and is at this version."""

import sqlalchemy as sa
from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from tagcast import access
from tagcast.kit.errors import TagcastError, Unavailable
from tagcast.kit.uow import Runtime
from tagcast.server.problems import asked

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
        with runtime.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        if not request.app.state.current:
            access.open_home(runtime.settings).close()
            # A database that is current stays so while this version runs: migrations only come with another version.
            request.app.state.current = True
    except TagcastError as error:
        raise Unavailable("server.not_ready", reason=str(error) if asked(request) == "en" else _zh(error)) from error
    except SQLAlchemyError as error:
        raise Unavailable("server.not_ready", reason=type(error).__name__) from error
    return Health(status="ok")


def _zh(error: TagcastError) -> str:
    return f"{error.text('zh')}{error.remedy('zh')}"
