"""What one reads of a broadcast's variants: who gets which and why, and what each did."""

from dataclasses import dataclass

from tagcast import bitmaps
from tagcast.broadcasts import store as broadcasts
from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.variants import dealing, learning, section, store
from tagcast.broadcasts.variants.learning import Result
from tagcast.broadcasts.variants.section import Section
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Share:
    """A variant in a draw: what was believed of it, with which probability people got it, and how many did."""

    variant: str
    trials: float
    successes: float
    best: float
    probability: float
    size: int
    explored: int


@dataclass(frozen=True, slots=True)
class Draw:
    """One group of one stage. `label` is the group's; empty where all are one."""

    stage: int
    label: str
    seed: str
    shares: list[Share]


@dataclass(frozen=True, slots=True)
class View:
    """`settled`: it was decided; else `draws` is what would be decided for the plan as it stands."""

    choose: str
    measure: str
    explore: float
    settled: bool
    over: bool
    draws: list[Draw]
    results: list[Result]


def view(work: Work, broadcast_id: int) -> View:
    """The variants of a broadcast. Raises NotFound when it has none."""
    broadcast = broadcasts.get(work, broadcast_id)
    said = section.of(broadcast)
    if said is None:
        raise NotFound("broadcasts.no_variants", broadcast=broadcast.name)
    settled = broadcast.started_at is not None
    draws = _decided(work, broadcast) if settled else _planned(work, broadcast, said)
    results = learning.results(work, broadcast, said) if settled else []
    return View(said.choose, said.measure, said.explore, settled, broadcast.finished_at is not None, draws, results)


def _decided(work: Work, broadcast: Broadcast) -> list[Draw]:
    found: dict[int, Draw] = {}
    for one in store.choices_of(work, broadcast.id):
        draw = found.setdefault(one.draw, Draw(one.stage, one.label, one.seed, []))
        draw.shares.append(
            Share(one.variant, one.trials, one.successes, one.best, one.probability, one.size, one.explored)
        )
    return list(found.values())


def _planned(work: Work, broadcast: Broadcast, said: Section) -> list[Draw]:
    planned = bitmaps.unpack(work.bitmaps.read(f"{broadcast.key}:plan:assigned"))
    return [
        Draw(
            0,
            one.label,
            f"{one.seed:016x}",
            [
                Share(
                    arm.name,
                    arm.belief.trials,
                    arm.belief.successes,
                    arm.best,
                    arm.probability,
                    int(arm.members.size),
                    int(arm.explored.size),
                )
                for arm in one.arms
            ],
        )
        for one in dealing.deal(work, broadcast, said, planned)
    ]
