"""What runs in the worker: turn after turn, rules and live segments together."""

import time

from tagcast.audiences import live
from tagcast.kit import logs
from tagcast.kit.errors import TagcastError, Unavailable
from tagcast.kit.uow import Runtime
from tagcast.tag_rules import rules, store
from tagcast.tag_rules.keeping import Rules

AGAIN_SECONDS = 5.0
"""How long a workspace whose turn failed is left alone."""

log = logs.get("rules")


class Turning:
    """Keeps the rules and live segments of all workspaces true, one process at a time each."""

    def __init__(self, pace: live.Pace | None = None) -> None:
        self._pace = pace or live.pace()
        self._memories: dict[int, live.Memory] = {}
        self._owners: dict[int, tuple[live.Owner, ...]] = {}
        # The workspaces in trouble, and when each is tried again; at first nobody knows of any.
        self._again: dict[int, float] = {}

    def turn(self, runtime: Runtime, workspaces: list[int]) -> bool:
        """One turn in each workspace; whether any found something to do. Why one failed is kept for `views`."""
        busy = False
        for workspace in workspaces:
            if time.monotonic() < self._again.get(workspace, 0.0):
                continue
            known = workspace in self._memories
            memory = self._memories.setdefault(workspace, live.Memory(self._pace))
            self._owners.setdefault(workspace, (Rules(), live.Segments()))
            try:
                busy |= live.turn(runtime, workspace, memory, self._owners[workspace])
            except Exception as error:
                # What it remembers may be half of a turn.
                del self._memories[workspace], self._owners[workspace]
                self._again[workspace] = time.monotonic() + AGAIN_SECONDS
                log.exception("turn failed", workspace=workspace)
                _told(runtime, workspace, error)
            else:
                if not known:
                    _mended(runtime, workspace)
        return busy


def _told(runtime: Runtime, workspace: int, error: Exception) -> None:
    """Keep why a turn failed; what is not ours is named by its kind only, for it may hold anything."""
    ours = error if isinstance(error, TagcastError) else None
    problem = ours or Unavailable("tag_rules.turn_failed", reason=type(error).__name__)
    try:
        with runtime.work(workspace, "worker") as work:
            store.put_trouble(work, rules.shown(problem))
    except Exception:
        log.exception("trouble not kept", workspace=workspace)


def _mended(runtime: Runtime, workspace: int) -> None:
    """A turn succeeded, the first since one failed or since this process began."""
    with runtime.read(workspace, "worker") as work:
        if store.trouble(work) is None:
            return
    with runtime.work(workspace, "worker") as work:
        store.drop_trouble(work)
