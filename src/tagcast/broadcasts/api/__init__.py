"""HTTP routes of broadcasts."""

from fastapi import APIRouter

from tagcast.broadcasts.api import drafts, plans, running

router = APIRouter(tags=["broadcasts"])
for part in (drafts, plans, running):
    router.include_router(part.router)
