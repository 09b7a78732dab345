"""Since when a contact holds a tag, from whom and until when; or when it was taken."""

from collections.abc import Iterable
from dataclasses import dataclass

from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Evidence:
    """The tag, whether it is held, the last change of that (epoch milliseconds, who, why; None: never), until when."""

    tag: int
    held: bool
    at_ms: int | None = None
    who: str | None = None
    why: str | None = None
    until_ms: int | None = None


def evidence(work: Work, tag_ids: Iterable[int], number: int) -> list[Evidence]:
    """What tells of one contact and some tags, in their order."""
    return [_evidence(work, tag_id, number) for tag_id in tag_ids]


def _evidence(work: Work, tag_id: int, number: int) -> Evidence:
    key = f"tag:{tag_id}"
    held = number in work.bitmaps.read(key)
    change = work.bitmaps.last_change(key, number)
    if change is None:
        return Evidence(tag_id, held)
    until = None
    if held:
        ends = [int(one.rpartition(":")[2]) for one in work.bitmaps.keys(f"tag-until:{tag_id}:")]
        until = next((end for end in sorted(ends) if number in work.bitmaps.read(f"tag-until:{tag_id}:{end}")), None)
    return Evidence(tag_id, held, change.at_ms, change.who, change.why, until)
