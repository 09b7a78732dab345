"""HTTP routes of broadcasts."""

from fastapi import APIRouter

from tagcast.broadcasts.api import (
    coming,
    contents,
    drafts,
    employees,
    plans,
    postings,
    previews,
    running,
    schedules,
    variants,
)

# What stands under a word comes before what stands under a number.
router = APIRouter(tags=["broadcasts"])
for part in (schedules, contents, coming, previews, variants, drafts, plans, running, employees, postings):
    router.include_router(part.router)
