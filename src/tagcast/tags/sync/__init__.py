"""Two-way synchronisation of tags with the platforms' own: plan, run, settings. See decision 12.

Owns: tag_sync_account, tag_sync_direction, tag_link, tag_sync_run; the sets `tag-base:<account>:<tag>` and
`tag-touched:<account>`.
"""

from tagcast.tags.sync.actions import (
    State,
    Way,
    cancel,
    change,
    direct,
    run,
    runs,
    show,
    start,
    start_due,
    touched,
    ways,
)
from tagcast.tags.sync.here import follow
from tagcast.tags.sync.planning import Made, make
from tagcast.tags.sync.running import KIND, work
from tagcast.tags.sync.steps import Clash, Plan, Refusal, Sets, Step
from tagcast.tags.sync.store import OPEN, Run, link_of
from tagcast.tags.sync.uses import USERS

__all__ = [
    "KIND",
    "OPEN",
    "Clash",
    "Made",
    "Plan",
    "Refusal",
    "Run",
    "Sets",
    "State",
    "Step",
    "USERS",
    "Way",
    "link_of",
    "cancel",
    "change",
    "direct",
    "follow",
    "make",
    "run",
    "runs",
    "show",
    "start",
    "start_due",
    "touched",
    "ways",
    "work",
]
