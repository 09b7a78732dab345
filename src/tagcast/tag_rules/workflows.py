"""What runs in the worker: turn after turn, rules and live segments together."""

from tagcast.audiences import live
from tagcast.kit.uow import Runtime
from tagcast.tag_rules.keeping import Rules


class Turning:
    """Keeps the rules and live segments of all workspaces true, one process at a time each."""

    def __init__(self, pace: live.Pace | None = None) -> None:
        self._pace = pace or live.pace()
        self._memories: dict[int, live.Memory] = {}
        self._owners: dict[int, tuple[live.Owner, ...]] = {}

    def turn(self, runtime: Runtime, workspaces: list[int]) -> bool:
        """One turn in each workspace; whether any found something to do."""
        busy = False
        for workspace in workspaces:
            memory = self._memories.setdefault(workspace, live.Memory(self._pace))
            self._owners.setdefault(workspace, (Rules(), live.Segments()))
            try:
                busy |= live.turn(runtime, workspace, memory, self._owners[workspace])
            except Exception:
                # What it remembers may be half of a turn.
                del self._memories[workspace], self._owners[workspace]
                raise
        return busy
