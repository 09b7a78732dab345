"""What a bandit believes, from what people did before; and what each variant did, estimated without bias."""

from dataclasses import dataclass

from pyroaring import BitMap

from tagcast import audiences, statistics
from tagcast.broadcasts import store as broadcasts
from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.variants import rules, section, store
from tagcast.broadcasts.variants.rules import CONVERTED, Belief
from tagcast.broadcasts.variants.section import Section
from tagcast.kit.uow import Work
from tagcast.statistics import Stratum


@dataclass(frozen=True, slots=True)
class Result:
    """What a variant did. `rate`: of all who were in the draws, had everybody got it; by inverse propensity.

    `got` were given it, `reached` of them by the platform's word, `did` what is measured.
    """

    name: str
    got: int
    explored: int
    reached: int
    did: int
    rate: statistics.Interval | None


def draw_key(broadcast: int, draw: int) -> str:
    """The set of all for whom a draw was made."""
    return f"broadcast:{broadcast}:drawn:{draw}"


def did(work: Work, broadcast: Broadcast, said: Section) -> BitMap:
    """Who did what is measured."""
    if said.measure == CONVERTED:
        assert said.goal is not None, broadcast.key
        return audiences.members(work, audiences.from_json(said.goal))
    return work.bitmaps.read(f"{broadcast.key}:{said.measure}")


def reached(work: Work, broadcast: Broadcast) -> BitMap:
    """Who got it, by the platform's word."""
    sets = work.bitmaps
    taken = sets.read(f"{broadcast.key}:accepted") | sets.read(f"{broadcast.key}:delivered")
    return taken - sets.read(f"{broadcast.key}:failed")


def beliefs(work: Work, broadcast: Broadcast, said: Section, label: str) -> dict[str, Belief]:
    """What is known of each variant in a group: from this broadcast's earlier stages and, with decay, from its series.

    A variant is known by its name, a group by its label.
    """
    figures = rules.limits()["bandit"]
    trials, successes = dict.fromkeys(said.names, 0.0), dict.fromkeys(said.names, 0.0)
    past = store.earlier(work, broadcast.id, figures["history"]) if said.series else []
    weight = 1.0
    for number in [broadcast.id, *past]:
        one = broadcast if number == broadcast.id else broadcasts.get(work, number)
        theirs = section.of(one)
        if theirs is None or theirs.series != said.series or theirs.measure != said.measure:
            continue
        if number != broadcast.id:
            weight *= figures["decay"]
        there, successful = reached(work, one), did(work, one, theirs)
        for choice in store.choices_of(work, number):
            if choice.label != label or choice.variant not in trials:
                continue
            who = given(work, one, choice) & there
            trials[choice.variant] += weight * len(who)
            successes[choice.variant] += weight * len(who & successful)
    return {name: Belief(trials[name], successes[name]) for name in said.names}


def knows(work: Work, broadcast: Broadcast) -> bool:
    """Whether anybody of the broadcast was reached, so that there is something to learn from."""
    return bool(reached(work, broadcast))


def given(work: Work, broadcast: Broadcast, choice: store.Choice) -> BitMap:
    """Who got the variant in the draw."""
    drawn = work.bitmaps.read(draw_key(broadcast.id, choice.draw))
    return drawn & work.bitmaps.read(f"{broadcast.key}:variant:{choice.variant}")


def results(work: Work, broadcast: Broadcast, said: Section) -> list[Result]:
    """What each variant did, over all draws of the broadcast, by intention to treat."""
    choices, successful, there = (
        store.choices_of(work, broadcast.id),
        did(work, broadcast, said),
        reached(work, broadcast),
    )
    explored = work.bitmaps.read(f"{broadcast.key}:explored")
    sizes: dict[int, int] = {}
    for choice in choices:
        sizes[choice.draw] = sizes.get(choice.draw, 0) + choice.size
    found = []
    for name in said.names:
        strata, got = [], BitMap()
        for choice in choices:
            if choice.variant == name:
                got |= (who := given(work, broadcast, choice))
                strata.append(Stratum(sizes[choice.draw], len(who), len(who & successful), choice.probability))
        chance = said.choose != rules.SEGMENTS
        rate = statistics.inverse_propensity(strata) if chance and any(one.size for one in strata) else None
        parts = (len(got), len(got & explored), len(got & there), len(got & successful))
        found.append(Result(name, *parts, rate))
    return found
