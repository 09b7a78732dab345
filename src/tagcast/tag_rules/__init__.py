"""Rules that keep tags true. Owns: tag_rule, tag_rule_log, tag_rule_trouble.

A rule is an expression whose members have a tag, always: `audiences.live` follows what changes, contact by contact.
"""

from tagcast.tag_rules.actions import (
    activate,
    create,
    delete,
    edit,
    every,
    get,
    given,
    history,
    of_tag,
    restore,
    stop,
)
from tagcast.tag_rules.events import RuleStopped
from tagcast.tag_rules.naming import USERS, follow_name
from tagcast.tag_rules.rules import Definition, Line, Mode, Rule, Trouble
from tagcast.tag_rules.trial import Side, Trial, dry_run
from tagcast.tag_rules.views import Health, Seen, health
from tagcast.tag_rules.views import every as seen
from tagcast.tag_rules.workflows import Turning

__all__ = [
    "USERS",
    "Definition",
    "Health",
    "Line",
    "Mode",
    "Rule",
    "RuleStopped",
    "Seen",
    "Side",
    "Trial",
    "Trouble",
    "Turning",
    "activate",
    "create",
    "delete",
    "dry_run",
    "edit",
    "follow_name",
    "every",
    "get",
    "given",
    "health",
    "history",
    "of_tag",
    "restore",
    "seen",
    "stop",
]
