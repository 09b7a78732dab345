"""The sets of a workspace as they were at a moment."""

from typing import NoReturn

from pyroaring import BitMap

from tagcast.bitmaps import store
from tagcast.bitmaps.planes import Plane
from tagcast.bitmaps.view import View


class Past(View):
    """What `view` would have shown after the last change at or before `at_ms` (epoch milliseconds); it only reads.

    Each key costs what its changes since then cost.
    """

    def __init__(self, view: View, at_ms: int) -> None:
        # The same transaction in the same workspace; only what is read differs.
        self.__dict__.update(view.__dict__)
        self._present = view
        self._moment = at_ms
        self._known: dict[str, BitMap] = {}

    def read(self, key: str) -> BitMap:
        """The members then. Not to be mutated."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._present.as_of(key, self._moment)
        return found

    def whole(self, key: str) -> BitMap | Plane:
        """The members then."""
        return self.read(key)

    def light(self) -> None:
        """Which sets are light is known of the present only."""

    def present(self, key: str, members: BitMap) -> BitMap:
        """Those of `members` that were there then."""
        return self.read(key) & members

    def count(self, key: str) -> int:
        """How many members then."""
        return len(self.read(key))

    def keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix` and had members then, sorted."""
        ever = store.keys_ever(self._connection, self._workspace, prefix, self._moment)
        return [key for key in ever if self.read(key)]

    def version(self, key: str) -> int:
        """The seq of the key's last change then, or 0."""
        return store.seq_at(self._connection, self._workspace, key, self._moment)

    def moment(self) -> None:
        """No number stands for all sets of the past."""

    def _record(self, *_args: object, **_kinds: object) -> NoReturn:
        raise TypeError("the past cannot be changed")

    def _to_write(self, key: str) -> NoReturn:
        raise TypeError(f"the past of {key} cannot be changed")
