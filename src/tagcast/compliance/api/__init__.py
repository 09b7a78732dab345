"""HTTP routes of compliance. People are named by identities of one kind; answers name those that nobody has."""

from fastapi import APIRouter

from tagcast.compliance.api import caps, consents, personal, quiet

router = APIRouter(tags=["compliance"])
for part in (consents, caps, quiet, personal):
    router.include_router(part.router)
