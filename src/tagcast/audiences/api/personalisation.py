"""Segments over HTTP: everybody of an expression refuses personalisation, or takes the refusal back."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from tagcast import compliance
from tagcast.access import Guarded
from tagcast.audiences import compiler
from tagcast.audiences.api.forms import ExpressionIn
from tagcast.kit.uow import Work

router = APIRouter()


class RefusalIn(ExpressionIn):
    """Whose choice is recorded, and where it comes from."""

    refused: bool = True
    why: str = Field(min_length=1, max_length=100)


class RefusedOut(BaseModel):
    """How many the expression stands for, and how many of them stood otherwise before."""

    count: int
    changed: int


@router.post("/personalisation", summary="整个人群拒绝个性化 · A segment refuses personalisation")
def personalisation(entry: Guarded, body: RefusalIn) -> RefusedOut:
    """In force at once; recorded like a consent."""
    expression = body.read()
    record = compliance.refuse_personalisation if body.refused else compliance.allow_personalisation

    def use_case(work: Work) -> RefusedOut:
        who = compiler.members(work, expression)
        return RefusedOut(count=len(who), changed=record(work, who, source=body.why))

    return entry.write(use_case)
