"""Use cases of segments and frozen audiences."""

import hashlib
import sys

from pyroaring import BitMap

from tagcast import bitmaps, tags
from tagcast.audiences import catalogue, compiler, naming, rules, store
from tagcast.audiences.rules import Expression
from tagcast.audiences.store import Frozen, Segment
from tagcast.bitmaps import Change
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.uow import Work

_NAME_CHARS = 100
_DESCRIPTION_CHARS = 500


def create(work: Work, name: str, expression: Expression, *, description: str = "") -> Segment:
    """A new segment. Raises Conflict for a name that is taken, Invalid for an unknown name in it or a wrong value."""
    clean = _checked_name(name)
    store.lock(work)
    if clean in store.names(work):
        raise Conflict("audiences.name_taken", name=clean)
    refs = _proved(work, clean, expression)
    return get(work, store.insert(work, clean, expression, refs, _checked_description(description)))


def update(
    work: Work,
    segment_id: int,
    expression: Expression,
    *,
    name: str | None = None,
    description: str | None = None,
    version: int | None = None,
) -> Segment:
    """Change a segment; with `version`, only if it still is that version.

    All that names the segment follows its new name. A kept set is worked out anew at once, a live one by its keeper.
    Raises Conflict for a ring of segments, a name that is taken, or another version; Invalid as `create`.
    """
    store.lock(work)
    before = get(work, segment_id)
    if version is not None and version != before.version:
        raise Conflict("audiences.moved", name=before.name, found=before.version, expected=version)
    clean = _checked_name(name) if name is not None else before.name
    if clean != before.name and clean in store.names(work):
        raise Conflict("audiences.name_taken", name=clean)
    refs = _proved(work, before.name, expression)
    said = before.description if description is None else _checked_description(description)
    store.update(work, segment_id, expression, refs, name=clean, description=said)
    if clean != before.name:
        naming.rename(work, before.name, clean)
    return _followed(work, segment_id)


def rename(work: Work, segment_id: int, name: str) -> Segment:
    """Give a segment another name, and let all that names it follow; it means what it meant. Raises as `update`."""
    store.lock(work)
    before = get(work, segment_id)
    clean = _checked_name(name)
    if clean != before.name:
        if clean in store.names(work):
            raise Conflict("audiences.name_taken", name=clean)
        store.rename(work, segment_id, clean)
        naming.rename(work, before.name, clean)
    return get(work, segment_id)


def delete(work: Work, segment_id: int) -> Segment:
    """Put a segment away; what it was is returned. Raises NotFound, Conflict while others stand on it."""
    store.lock(work)
    segment = get(work, segment_id)
    if users := naming.standing_on(work, segment.name):
        raise Conflict("audiences.in_use", name=segment.name, users="、".join(users[:5]))
    store.delete(work, segment_id)
    work.bitmaps.replace(segment.key, BitMap(), why="segment deleted")
    return segment


def deleted(work: Work) -> list[tuple[Segment, int]]:
    """The segments that were deleted, with when (epoch milliseconds), the newest first."""
    found = store.deleted(work)
    return list(zip(catalogue.current(work, [one for one, _ in found]), [at for _, at in found], strict=True))


def restore(work: Work, segment_id: int) -> Segment:
    """Take back a segment that was deleted. Raises NotFound, Conflict for its name or a ring, Invalid as `create`."""
    store.lock(work)
    found = next((one for one, _ in deleted(work) if one.id == segment_id), None)
    if found is None:
        raise NotFound("audiences.no_segment", segment=segment_id)
    if found.name in store.names(work):
        raise Conflict("audiences.name_taken", name=found.name)
    _proved(work, found.name, found.expression)
    store.restore(work, segment_id)
    return _followed(work, segment_id)


def get(work: Work, segment_id: int) -> Segment:
    """A segment by its id. Raises NotFound."""
    found = store.get(work, segment_id)
    if found is None:
        raise NotFound("audiences.no_segment", segment=segment_id)
    return catalogue.current(work, [found])[0]


def find(work: Work, name: str) -> Segment:
    """A segment by its name. Raises NotFound."""
    found = catalogue.load(work, [name])
    if name not in found:
        raise NotFound("audiences.no_segment", segment=name)
    return found[name]


def every(work: Work) -> list[Segment]:
    """All segments by name."""
    return catalogue.current(work, store.every(work))


def freeze(work: Work, audience: Expression | str, *, why: str) -> Frozen:
    """Keep the members of an expression, or of the segment of that name, as they are now."""
    expression = find(work, audience).expression if isinstance(audience, str) else audience
    found = compiler.members(work, expression)
    segment = audience if isinstance(audience, str) else None
    made = store.insert_frozen(work, expression, segment=segment, size=len(found), digest=digest(found), why=why[:300])
    work.bitmaps.add(made.key, found, why=why[:300])
    return made


def frozen(work: Work, frozen_id: int) -> Frozen:
    """A frozen audience. Raises NotFound."""
    found = store.get_frozen(work, frozen_id)
    if found is None:
        raise NotFound("audiences.no_frozen", frozen=frozen_id)
    return found


def tag_segment(work: Work, expression: Expression, tag_id: int, *, why: str) -> Change | None:
    """Tag everyone in an expression, all or none; None if all hold the tag. Raises as `members` and `tags.assign`."""
    return tags.assign(work, tag_id, compiler.members(work, expression), why=why)


def digest(members: BitMap) -> str:
    """Hex SHA-256 of the numbers, ascending, as little-endian uint32: the same for equal sets on every machine."""
    numbers = bitmaps.unpack(members)
    return hashlib.sha256((numbers if sys.byteorder == "little" else numbers.byteswap()).tobytes()).hexdigest()


def _proved(work: Work, name: str, expression: Expression) -> list[store.TagRef]:
    """The expression's tags, after evaluating it: a segment that cannot be counted is not stored."""
    rules.check(expression)
    catalogue.check_standing(work, name, expression)
    names = catalogue.resolve(work, expression)
    compiler.Evaluation(work, names).count(expression)
    return catalogue.tag_refs(expression, names)


def _followed(work: Work, segment_id: int) -> Segment:
    """The segment after a change of what it means: a scheduled set is worked out at once."""
    segment = get(work, segment_id)
    return renew(work, segment_id) if segment.refresh == "scheduled" else segment


def renew(work: Work, segment_id: int) -> Segment:
    """Work a scheduled segment out now. Raises NotFound, Conflict for one that is not scheduled, Invalid."""
    segment = get(work, segment_id)
    if segment.refresh != "scheduled":
        raise Conflict("audiences.not_scheduled", name=segment.name)
    found = compiler.members(work, segment.expression)
    work.bitmaps.replace(segment.key, found, why=f"segment, version {segment.version}")
    store.put_fresh(work, [segment_id], work.now_ms)
    return get(work, segment_id)


def _checked_name(name: str) -> str:
    clean = name.strip()
    rules.check_text(clean, "name_length")
    if not clean or len(clean) > _NAME_CHARS:
        raise Invalid("audiences.bad_name", most=_NAME_CHARS)
    return clean


def _checked_description(text: str) -> str:
    if len(text) > _DESCRIPTION_CHARS or "\0" in text:
        raise Invalid("audiences.bad_description", most=_DESCRIPTION_CHARS)
    return text.strip()
