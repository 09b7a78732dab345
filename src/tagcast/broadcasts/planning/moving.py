"""What moved between two plans: who is at another step now, with some of them by number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap

from tagcast.broadcasts import rules
from tagcast.broadcasts.rules import Step
from tagcast.kit.shipped import read_toml

EXAMPLES = 20
OUTSIDE = "not_addressed"


@dataclass(frozen=True, slots=True)
class Move:
    """People who were at one step of the waterfall and are at another, and the first of them."""

    before: str
    after: str
    count: int
    examples: list[int]


def moves(before: Mapping[str, BitMap], after: Mapping[str, BitMap]) -> list[Move]:
    """Every pair of steps between which people moved, the largest first. Each person is at exactly one step."""
    then, now = _places(before, after), _places(after, before)
    found = []
    for was, members in then.items():
        if gone := members - now.get(was, BitMap()):
            for step, there in now.items():
                if step != was and (moved := gone & there):
                    found.append(Move(was, step, len(moved), list(moved[:EXAMPLES])))
    return sorted(found, key=lambda move: (-move.count, move.before, move.after))


def _places(mine: Mapping[str, BitMap], others: Mapping[str, BitMap]) -> dict[str, BitMap]:
    """Where each person of either plan stands in one of them."""
    found = {name: members for name, members in mine.items() if name != "addressed"}
    found[OUTSIDE] = others.get("addressed", BitMap()) - mine.get("addressed", BitMap())
    return found


def changed_facts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The facts on which two plans do not agree, by name."""
    return [name for name in after if name not in before or before[name] != after[name]]


def told(
    before: Sequence[Step], after: Sequence[Step], facts: Sequence[str], found: Sequence[Move]
) -> dict[str, object]:
    """The parameters of `broadcasts.plan_moved` beside the plan: counts, facts, and who in both languages."""
    changes = [*rules.moved(before, after), *(f"other {fact}" for fact in facts)]
    return {
        "changes": "; ".join(changes) or "-",
        "moves": [{"before": m.before, "after": m.after, "count": m.count, "examples": m.examples} for m in found],
        **{f"who_{lang}": _who(found, lang) for lang in ("zh", "en")},
    }


def late(members: BitMap) -> dict[str, object]:
    """The parameters where slots were gone between the look and the reservation."""
    gone = Move("assigned", "over_cap", len(members), list(members[:EXAMPLES]))
    return told([], [], [], [gone]) | {"changes": f"over_cap: {len(members)} more"}


def _who(found: Sequence[Move], lang: str) -> str:
    words = read_toml("broadcasts", "words.toml")

    def sentence(move: Move) -> str:
        more = "…" if move.count > len(move.examples) else ""
        numbers = ", ".join(map(str, move.examples)) + more
        return f"{words[move.before][lang]} → {words[move.after][lang]}: {move.count} ({numbers})"

    return "; ".join(map(sentence, found)) or "-"
