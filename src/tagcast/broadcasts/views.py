"""What one reads of a broadcast: the waterfall, progress, failures in words, and why one person got it or not."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from pyroaring import BitMap

from tagcast import channels
from tagcast.broadcasts import ledger, planning, stages, store
from tagcast.broadcasts.rules import State, Status
from tagcast.kit.errors import Lang, NotFound
from tagcast.kit.uow import Work

PLATFORMS: Mapping[str, channels.Platform] = {"official": "official", "wecom": "wecom"}
OUTCOMES = (*ledger.OUTCOME_SETS.values(), "opened", "clicked")
# Statuses that have no set of their own, and are read from the chunks.
WAITING = ("planned", "retry")


@dataclass(frozen=True, slots=True)
class WaterfallStep:
    """A line of the waterfall; `members` are in the set `key`."""

    name: str
    count: int
    label_zh: str
    label_en: str
    key: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A reason why recipients were not reached."""

    reason: str
    count: int
    sentence_zh: str
    sentence_en: str


@cache
def words() -> dict[str, dict[str, str]]:
    """Names of waterfall steps, reasons and warnings: word → {zh, en}."""
    return tomllib.loads(resources.files("tagcast.broadcasts").joinpath("words.toml").read_text("utf-8"))


def warning(code: str) -> dict[str, str]:
    """{zh, en} of a warning of a plan."""
    found: Any = words()["warning"]
    return dict(found.get(code, {"zh": code, "en": code}))


def label(name: str, lang: Lang) -> str:
    """What a step of a waterfall or an outcome is called."""
    found = words().get(name) or words().get(f"status_{name}") or {}
    return found.get(lang, name)


def size(plan: store.SavedPlan) -> int:
    """How many a plan would send to."""
    return next((step.count for step in plan.steps if step.name == "assigned"), 0)


def waterfall(work: Work, broadcast_id: int) -> list[WaterfallStep]:
    """The steps of the newest plan; of the plan that was sent, once it was."""
    broadcast = store.get(work, broadcast_id)
    plan = store.plan_of(work, broadcast_id)
    if plan is None:
        return []
    prefix = f"{broadcast.key}:" if broadcast.plan_hash == plan.hash else f"{broadcast.key}:plan:"
    return [
        WaterfallStep(step.name, step.count, words()[step.name]["zh"], words()[step.name]["en"], prefix + step.name)
        for step in plan.steps
    ]


def members(work: Work, broadcast_id: int, name: str) -> BitMap:
    """The contacts of a step of the waterfall or of an outcome. Raises NotFound for an unknown name."""
    broadcast = store.get(work, broadcast_id)
    steps = {step.name: step.key for step in waterfall(work, broadcast_id)}
    known = {**{outcome: f"{broadcast.key}:{outcome}" for outcome in OUTCOMES}, **steps}
    if name in WAITING:
        chunks = store.chunks_of(work, broadcast_id)
        return BitMap.union(
            BitMap(), *(ledger.members(one.recipients[one.statuses == Status[name.upper()]]) for one in chunks)
        )
    if name not in known:
        raise NotFound("broadcasts.no_set", name=name, known=", ".join([*known, *WAITING]))
    return work.bitmaps.read(known[name])


def members_csv(work: Work, broadcast_id: int, name: str) -> Iterator[str]:
    """The contacts of a set with the reason in both languages, as lines of CSV. Raises NotFound as `members`."""
    found = members(work, broadcast_id, name)
    broadcast = store.get(work, broadcast_id)
    step = next((one for one in waterfall(work, broadcast_id) if one.name == name), None)
    both = label(name, "zh"), label(name, "en")

    reasons = store.reasons_of(work, broadcast_id) if name in ("failed", "held") else {}

    def reason(contact: int) -> tuple[str, str]:
        if contact in reasons:
            return sentences(reasons[contact])
        if step is not None and name == "yields":
            return _of_step(work, broadcast, step, contact)
        return both

    yield _line("contact", "step", "zh", "en")
    yield from (_line(str(contact), name, *reason(contact)) for contact in found)


def _line(*cells: str) -> str:
    return (
        ",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' if set(cell) & set(',"\n') else cell for cell in cells)
        + "\r\n"
    )


def _of_step(work: Work, broadcast: store.Broadcast, step: WaterfallStep, contact: int) -> tuple[str, str]:
    """(zh, en) of why a contact fell at a step; who yields is told to which broadcasts."""
    if step.name != "yields":
        return step.label_zh, step.label_en
    names = [f"{store.get(work, one).name} ({one})" for one in planning.yielded_to(work, broadcast, contact)]
    return f"{step.label_zh}：{'、'.join(names)}", f"{step.label_en}: {', '.join(names)}"


def failures(work: Work, broadcast_id: int) -> list[Failure]:
    """Why recipients failed or were held at the last moment, the most frequent first."""
    return [Failure(reason, count, *sentences(reason)) for reason, count in store.failure_counts(work, broadcast_id)]


def sentences(reason: str) -> tuple[str, str]:
    """(zh, en) of a reason kept in the ledger; an unknown one is shown as it came."""
    known = words().get(reason.replace(":", "."))
    if known is not None:
        return known["zh"], known["en"]
    platform, _, rest = reason.partition(":")
    if platform == "refused":
        return words()[platform]["zh"] + rest, words()[platform]["en"] + rest
    code, _, operation = rest.partition(":")
    if platform in PLATFORMS and code.lstrip("-").isdigit():
        meaning = channels.meaning(PLATFORMS[platform], int(code), operation)
        return meaning.zh, meaning.en
    return reason, reason


def why(work: Work, broadcast_id: int, contact: int) -> tuple[str, str, str]:
    """(word, zh, en) of what a broadcast meant for one contact: a waterfall step, or his status in the ledger."""
    broadcast = store.get(work, broadcast_id)
    found = store.chunk_of(work, broadcast.id, contact)
    if found is not None:
        return _of_status(work, broadcast, *found, contact)
    for step in waterfall(work, broadcast_id):
        if step.name not in ("addressed", "assigned") and contact in work.bitmaps.read(step.key):
            return step.name, *_of_step(work, broadcast, step, contact)
    return "not_addressed", words()["not_addressed"]["zh"], words()["not_addressed"]["en"]


def _of_status(
    work: Work, broadcast: store.Broadcast, chunk: store.Chunk, status: Status, contact: int
) -> tuple[str, str, str]:
    """(word, zh, en) of a status, with what is being done about it."""
    word = status.name.lower()
    said = words()[f"status_{word}"]
    if status in (Status.FAILED, Status.HELD, Status.CANCELLED):
        reason = store.failure_of(work, broadcast.id, contact)
        return (word, said["zh"], said["en"]) if reason is None else (word, *sentences(reason))
    more = ""
    if status is Status.IN_DOUBT:
        more = f"in_doubt_{broadcast.route}"
    elif status in (Status.PLANNED, Status.RETRY) and not chunk.done:
        if broadcast.state is State.PAUSED:
            more = "waits_pause"
        elif chunk.stage > stages.due(broadcast):
            more = "waits_stage"
        elif chunk.progress.get(store.TROUBLE):
            zh, en = sentences(str(chunk.progress[store.TROUBLE]))
            return word, f"{said['zh']}：{zh}", f"{said['en']}: {en}"
    if more not in words():
        return word, said["zh"], said["en"]
    return word, f"{said['zh']}：{words()[more]['zh']}", f"{said['en']}: {words()[more]['en']}"
