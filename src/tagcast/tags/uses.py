"""Who uses a tag. Floors above register what they keep of tags; merging rewrites all of it, and puts it back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tagcast.kit.uow import Work
from tagcast.tags.rules import Tag


@dataclass(frozen=True, slots=True)
class Use:
    """Something that names tags. `kind` and `id` say what; `name` is for people.

    `exactly` are tags used without those below them, `branches` tags with those below. `over` are the names of segments
    that it stands on. `live`: it will use them again; else it is a record of the past, which nothing rewrites.
    """

    kind: str
    id: int
    name: str
    branches: tuple[int, ...] = ()
    exactly: tuple[int, ...] = ()
    over: tuple[str, ...] = ()
    live: bool = True


Notes = list[dict[str, Any]]
"""What a rewriting must remember to be taken back, as JSON."""


@dataclass(frozen=True, slots=True)
class Users:
    """One kind of use.

    `uses(work)` gives all; `rewrite(work, old, new)` makes `new` stand wherever `old` does and gives notes, each with a
    `name`; `restore(work, notes)` takes it back, raising Conflict for what was changed since.
    """

    kind: str
    uses: Callable[[Work], Iterable[Use]]
    rewrite: Callable[[Work, Tag, Tag], Notes] | None = None
    restore: Callable[[Work, Sequence[dict[str, Any]]], None] | None = None


Paths = Mapping[tuple[int | None, str], str]
"""New paths by (account, path before)."""

_users: dict[str, Users] = {}
_followers: dict[str, Callable[[Work, Paths], None]] = {}


def register(users: Users) -> Users:
    """Say that a module uses tags."""
    _users[users.kind] = users
    return users


def on_move(kind: str, follow: Callable[[Work, Paths], None]) -> None:
    """Say that things of a kind name tags by their paths: `follow` writes the new ones when tags move."""
    _followers[kind] = follow


def moved(work: Work, paths: Paths) -> None:
    """Let everything that names tags by their paths follow."""
    for follow in _followers.values():
        follow(work, paths)


def uses(work: Work) -> list[Use]:
    """Every use of any tag in the workspace."""
    return [use for users in _users.values() for use in users.uses(work)]


def rewrite(work: Work, old: Tag, new: Tag) -> dict[str, Notes]:
    """Make `new` stand wherever `old` does: what must be remembered, by kind."""
    done = {kind: users.rewrite(work, old, new) for kind, users in _users.items() if users.rewrite is not None}
    return {kind: notes for kind, notes in done.items() if notes}


def restore(work: Work, notes: dict[str, Notes]) -> None:
    """Take a rewriting back. Raises Conflict for what was changed since."""
    for kind, told in notes.items():
        put_back = _users[kind].restore
        assert put_back is not None, kind
        put_back(work, told)
