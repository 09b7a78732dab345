"""Use cases of outcomes."""

from collections.abc import Collection

from tagcast.bitmaps.algebra import Node
from tagcast.kit.uow import Work
from tagcast.outcomes import rules, store
from tagcast.outcomes.rules import Outcome
from tagcast.outcomes.store import Sending


def register(work: Work, ref: str, name: str, *, account: int) -> Sending:
    """A message is launched now; again under the same reference replaces what was said of it."""
    sending = Sending(ref, name, account, work.now_ms)
    store.put(work, sending)
    return sending


def rename(work: Work, ref: str, name: str) -> None:
    """A sending has another name; nothing happens when it was not launched yet."""
    store.rename(work, ref, name)


def sendings(work: Work, *, refs: Collection[str] | None = None, names: Collection[str] | None = None) -> list[Sending]:
    """Sendings in the order of their launch: all, or those with one of these references or names."""
    return store.some(work, refs=refs, names=names)


def names(work: Work) -> list[str]:
    """The names of all sendings, sorted; several sendings can have one."""
    return store.names(work)


def node(sending: Sending, outcome: Outcome) -> Node:
    """The recipients of a sending who have an outcome; see `rules.node_of`."""
    return rules.node_of(sending.ref, outcome)
