"""Use cases of the tag tree. Who holds a tag is `tagging`'s business."""

from collections.abc import Collection
from difflib import get_close_matches
from enum import Enum

from pyroaring import BitMap

from tagcast import accounts
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.uow import Work
from tagcast.tags import rules, store
from tagcast.tags.rules import SEPARATOR, Bound, Node, Tag
from tagcast.tags.uses import moved as tell_moved

Place = tuple[int | None, str]


class Same(Enum):
    """Stands for "as it is", where None means none."""

    SAME = "same"


SAME = Same.SAME


def bound(work: Work, account: int | None, key: str) -> Bound:
    """One limit of an account's profile (None: of the workspace itself). Raises NotFound for an unknown account."""
    limits = accounts.limits(work, account)
    found = limits.value(key)
    assert found.value is None or isinstance(found.value, int), key
    return Bound(found.value, found.source, found.date, found.profile, limits.kind)


def create(
    work: Work, path: str, *, account: int | None = None, parent: int | None = None, parents: bool = False
) -> Tag:
    """A new tag at `path` ("会员/金卡/一星"), below `parent` if given; `parents` makes what is missing on the way.

    Raises Conflict if it is there already, NotFound for a missing parent, Invalid or Refused for name, depth or count.
    """
    above = get(work, parent) if parent is not None else None
    account = above.account if above is not None else account
    store.lock(work)
    names = rules.split(path)
    rules.check_depth(path, (above.depth if above else 0) + len(names), bound(work, account, "tags.depth"))
    with work.connection.begin_nested():
        made = _grow(work, above, names, account=account, parents=parents)
        rules.check_count(store.count(work, account), bound(work, account, "tags.count"))
        rules.check_path(made.path)
    return made


def ensure(work: Work, path: str, *, account: int | None = None) -> Tag:
    """The tag at `path`, made with its parents if it is not there."""
    try:
        return find(work, path, account=account)
    except NotFound:
        return create(work, path, account=account, parents=True)


def missing(work: Work, path: str, *, account: int | None = None) -> bool:
    """Whether no tag, archived or not, stands at a path."""
    parent = None
    for name in rules.split(path):
        row = store.child(work, account, parent, rules.normal(name))
        if row is None:
            return True
        parent = row.id
    return False


def check_new(work: Work, path: str, *, account: int | None = None) -> None:
    """Whether a tag could stand at `path`, but for how many there are. Raises Invalid, Refused (name, depth)."""
    names, longest = rules.split(path), bound(work, account, "tags.name_chars")
    rules.check_depth(path, len(names), bound(work, account, "tags.depth"))
    rules.check_path(path)
    for name in names:
        rules.check_name(name, longest)


def get(work: Work, tag_id: int) -> Tag:
    """A tag by its id, archived or not. Raises NotFound."""
    found = store.get(work, tag_id)
    if found is None:
        raise NotFound("tags.no_tag", tag=tag_id)
    return found


def usable(work: Work, tag_id: int) -> Tag:
    """A tag that is not archived. Raises NotFound, Conflict."""
    found = get(work, tag_id)
    if found.archived_at is not None:
        raise Conflict("tags.archived", path=found.path, tag=found.id)
    return found


def find(work: Work, path: str, *, account: int | None = None) -> Tag:
    """The tag at a path; width, case and spaces of names do not count. Raises NotFound naming the nearest paths."""
    row, parent = None, None
    for name in rules.split(path):
        row = store.child(work, account, parent, rules.normal(name))
        if row is None:
            raise _unknown(work, path, account)
        if row.archived_at is not None:
            raise NotFound("tags.archived", path=path, tag=row.id)
        parent = row.id
    return get(work, int(parent or 0))


def find_many(work: Work, wanted: Collection[Place]) -> dict[Place, list[int]]:
    """As `find` for (account, path) together: the id of each tag, followed by those below it. Raises NotFound."""
    names = {place: [rules.normal(name) for name in rules.split(place[1])] for place in wanted}
    ids: dict[Place, int] = dict.fromkeys(wanted, 0)
    for level in range(max(map(len, names.values()), default=0)):
        open_ = {place: (place[0] or 0, ids[place], keys[level]) for place, keys in names.items() if level < len(keys)}
        known = store.children(work, set(open_.values()))
        for place, where in open_.items():
            # What is missing or archived is looked up once more for the error that names the nearest.
            ids[place] = known[where] if where in known else find(work, place[1], account=place[0]).id
    branches = store.branches(work, set(ids.values()))
    return {place: branches[number] for place, number in ids.items()}


def every(work: Work) -> dict[int, Tag]:
    """All tags of the workspace, of every account, archived ones too, by id."""
    return {tag.id: tag for tag in store.every(work, anywhere=True)}


def tree(work: Work, account: int | None = None) -> list[Node]:
    """The tags of an account that are not archived, depth first, with holders. Raises NotFound for the account."""
    _check_account(work, account)
    listed = [tag for tag in store.every(work, account) if tag.archived_at is None]
    sets: dict[int, BitMap] = {}
    counts: dict[int, tuple[int, int]] = {}
    for tag in reversed(listed):
        own = work.bitmaps.read(key(tag.id))
        together = own | sets.pop(tag.id, BitMap())
        counts[tag.id] = (len(own), len(together))
        if tag.parent is not None:
            sets[tag.parent] = sets.get(tag.parent, BitMap()) | together
    return [Node(tag, *counts[tag.id]) for tag in listed]


def rename(work: Work, tag_id: int, name: str) -> Tag:
    """Give a tag another name. Raises Conflict if a sibling has it."""
    store.lock(work)
    tag = usable(work, tag_id)
    clean = rules.check_name(name, bound(work, tag.account, "tags.name_chars"))
    _free(work, tag, tag.parent, clean)
    return _changed(work, tag, name=clean, key=rules.normal(clean))


def move(work: Work, tag_id: int, parent: int | None) -> Tag:
    """Put a tag, with all below it, under another of its account, or make it a root.

    Raises Conflict for a place below itself or where a sibling has its name; Refused when it would be too deep.
    """
    store.lock(work)
    tag = usable(work, tag_id)
    if parent is not None:
        above = usable(work, parent)
        if above.account != tag.account:
            raise Invalid("tags.other_account", path=tag.path, parent=above.path)
        if parent in store.below(work, tag.id):
            raise Conflict("tags.ring", path=tag.path, parent=above.path)
    _free(work, tag, parent, tag.name)
    return _changed(work, tag, parent=parent or 0)


def declare(
    work: Work, tag_id: int, *, lifetime_days: int | Same | None = SAME, exclusive: str | Same | None = SAME
) -> Tag:
    """Say how long a tag is held when nothing else is said (days), and whether those below it shut each other out.

    Both hold for what is given from now on. Raises NotFound, Conflict, Invalid.
    """
    store.lock(work)
    tag = usable(work, tag_id)
    values: dict[str, object] = {}
    if not isinstance(lifetime_days, Same):
        values["lifetime_days"] = rules.check_lifetime(lifetime_days)
    if not isinstance(exclusive, Same):
        values["exclusive"] = rules.check_exclusive(exclusive)
    changed = {name: value for name, value in values.items() if getattr(tag, name) != value}
    if changed:
        store.update(work, [tag.id], **changed)
    return get(work, tag_id)


def archive(work: Work, tag_id: int) -> Tag:
    """Put a tag and all below it away: not found by path, not in the tree, not given; holders stay on record."""
    store.lock(work)
    tag = usable(work, tag_id)
    store.update(work, store.below(work, tag.id), archived_at=work.now_ms)
    return get(work, tag_id)


def restore(work: Work, tag_id: int) -> Tag:
    """Take an archived tag back, with those below it that were archived with it.

    Raises Conflict, Refused when there would be too many or one would be too deep, as what is above may have moved.
    """
    store.lock(work)
    tag = get(work, tag_id)
    if tag.archived_at is None:
        raise Conflict("tags.not_archived", path=tag.path)
    if tag.parent is not None:
        usable(work, tag.parent)
    back, together = {tag.id}, store.archived_together(work, tag.account, tag.archived_at)
    for one in store.every(work, tag.account):
        if one.parent in back and one.id in together:
            back.add(one.id)
    total = store.count(work, tag.account) + len(back)
    rules.check_count(total, bound(work, tag.account, "tags.count"))
    check_places(work, tag.account, back)
    store.update(work, back, archived_at=None)
    return get(work, tag_id)


def keep(work: Work, tag_id: int, keeper: str) -> Tag:
    """From now on `keeper` alone, an actor, gives and takes the tag. Raises NotFound; Conflict if another keeps it."""
    tag = usable(work, tag_id)
    rules.check_keeper(tag, keeper)
    store.put_keeper(work, tag_id, keeper)
    return get(work, tag_id)


def release(work: Work, tag_id: int) -> None:
    """Nobody keeps the tag any more."""
    store.put_keeper(work, tag_id, None)


def branch(work: Work, tag_id: int) -> list[int]:
    """The ids of a tag and of all below it that are not archived. Raises NotFound."""
    return store.below(work, get(work, tag_id).id)


def key(tag_id: int) -> str:
    """The bitmap of a tag's own holders."""
    return f"tag:{tag_id}"


def _grow(work: Work, above: Tag | None, names: list[str], *, account: int | None, parents: bool) -> Tag:
    """Make the last of `names`, and with `parents` those before it that are missing."""
    longest = bound(work, account, "tags.name_chars")
    for i, given in enumerate(names):
        name, last = rules.check_name(given, longest), i == len(names) - 1
        parent = above.id if above else None
        found = store.child(work, account, parent, rules.normal(name))
        if found is not None and (last or found.archived_at is not None):
            code = "tags.archived" if found.archived_at is not None else "tags.exists"
            raise Conflict(code, path=get(work, found.id).path, tag=found.id)
        if found is None and not last and not parents:
            raise _unknown(work, SEPARATOR.join([above.path, name] if above else [name]), account)
        if found is None:
            normal = rules.normal(name)
            above = get(work, store.insert(work, account=account, parent=parent, name=name, key=normal))
        else:
            above = get(work, found.id)
    assert above is not None
    return above


def _free(work: Work, tag: Tag, parent: int | None, name: str) -> None:
    found = store.child(work, tag.account, parent, rules.normal(name))
    if found is not None and found.id != tag.id:
        raise Conflict("tags.archived" if found.archived_at is not None else "tags.exists", path=name, tag=found.id)


def _changed(work: Work, tag: Tag, **values: object) -> Tag:
    """Change a tag's place or name, unless one of those that move with it would not fit there."""
    before = {one.id: one.path for one in store.every(work, tag.account)}
    with work.connection.begin_nested():
        store.update(work, [tag.id], **values)
        check_places(work, tag.account, set(store.below(work, tag.id)))
    after = {one.id: one.path for one in store.every(work, tag.account)}
    paths = {(tag.account, path): after[number] for number, path in before.items() if after[number] != path}
    if paths:
        tell_moved(work, paths)
    return get(work, tag.id)


def check_places(work: Work, account: int | None, tag_ids: Collection[int]) -> None:
    """Raise Refused if one of these tags of an account stands too deep, or its path is too long."""
    deepest = bound(work, account, "tags.depth")
    for one in store.every(work, account):
        if one.id in tag_ids:
            rules.check_depth(one.path, one.depth, deepest)
            rules.check_path(one.path)


def _unknown(work: Work, path: str, account: int | None) -> NotFound:
    _check_account(work, account)
    paths = {rules.normal(tag.path): tag.path for tag in store.every(work, account) if tag.archived_at is None}
    near = get_close_matches(rules.normal(path), paths, n=3, cutoff=0.5)
    near += [known for known in paths if known.endswith(SEPARATOR + rules.normal(path)) and known not in near]
    shown = "、".join(paths[known] for known in near[:3])
    return NotFound("tags.unknown", path=path[:200], near=shown or "–")


def _check_account(work: Work, account: int | None) -> None:
    if account is not None:
        accounts.get(work, account)
