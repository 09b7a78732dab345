"""Variants over HTTP: who gets which and why, and what each did."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast.access import Guarded
from tagcast.broadcasts import variants

router = APIRouter(prefix="/broadcasts")


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ShareOut(_Out):
    """A variant in one draw. `trials`, `successes`: what was known of it; `best`: the chance that it is the best."""

    variant: str
    trials: float
    successes: float
    best: float
    probability: float = Field(description="每人分到该版本的概率 · With which each person got it.")
    size: int
    explored: int = Field(description="其中由固定随机份额分到的 · Of these by the fixed random share.")


class DrawOut(_Out):
    """One group of one stage."""

    stage: int
    label: str
    seed: str
    shares: list[ShareOut]


class RateOut(_Out):
    """The share of all, had everybody got the variant; an interval of 95 %."""

    estimate: float
    low: float
    high: float
    level: float
    method: str


class ResultOut(_Out):
    """What a variant did."""

    name: str
    got: int
    explored: int
    reached: int
    did: int
    rate: RateOut | None = Field(description="按倾向得分倒数加权，无偏 · By inverse propensity, without bias.")


class VariantsOut(_Out):
    """`settled`: it was decided; else the draws are what would be decided for the newest plan."""

    choose: str
    measure: str
    explore: float
    settled: bool
    over: bool
    draws: list[DrawOut]
    results: list[ResultOut]


@router.get("/{broadcast}/variants", summary="各版本的分配与效果 · Who gets which variant, and what each did")
def show_variants(entry: Guarded, broadcast: int) -> VariantsOut:
    with entry.read() as work:
        return VariantsOut.model_validate(variants.view(work, broadcast))
