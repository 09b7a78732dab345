"""Consent, suppression, frequency, quiet hours, refused personalisation and minors (合规).

Owns: consent_record, account_send, compliance_cap, compliance_setting; the sets `consent:…`, `suppressed`, `sent:…`,
`personalisation:off` and `minor:marked`.
"""

from tagcast.compliance.actions import (
    Standing,
    consented,
    impersonal,
    on_import,
    purposes,
    record,
    refusals,
    standing,
    suppress,
    suppressed,
    unfit,
    unsuppress,
)
from tagcast.compliance.calendars import Zones, set_zones, zones
from tagcast.compliance.capping import Cap, caps, monthly_ceiling, set_cap, set_monthly_ceiling, unset_cap
from tagcast.compliance.counting import Claim, Use, over_cap, over_caps, used
from tagcast.compliance.events import ConsentChanged
from tagcast.compliance.frequency import (
    Quota,
    account_quota,
    record_sent,
    release,
    release_send,
    renew,
    reserve,
)
from tagcast.compliance.hours import Quiet, clocks, next_open, openings, quiet, quiet_hours, set_quiet_hours
from tagcast.compliance.personal import (
    Minors,
    allow_personalisation,
    mark_minors,
    minors,
    minors_setting,
    personalisation_refused,
    refuse_personalisation,
    set_minors,
    unmark_minors,
)
from tagcast.compliance.remaining import AccountUse, account_uses, slots_left, without_slot
from tagcast.compliance.rules import Purpose, ceilings, check_purpose
from tagcast.compliance.store import ConsentRecord

__all__ = [
    "AccountUse",
    "Cap",
    "Claim",
    "ConsentChanged",
    "ConsentRecord",
    "Minors",
    "Purpose",
    "Quiet",
    "Quota",
    "Standing",
    "Use",
    "Zones",
    "account_quota",
    "account_uses",
    "allow_personalisation",
    "caps",
    "ceilings",
    "check_purpose",
    "clocks",
    "consented",
    "impersonal",
    "mark_minors",
    "minors",
    "minors_setting",
    "monthly_ceiling",
    "next_open",
    "on_import",
    "openings",
    "over_cap",
    "over_caps",
    "personalisation_refused",
    "purposes",
    "quiet",
    "quiet_hours",
    "record",
    "record_sent",
    "refusals",
    "refuse_personalisation",
    "release",
    "release_send",
    "renew",
    "reserve",
    "set_cap",
    "set_minors",
    "set_monthly_ceiling",
    "set_quiet_hours",
    "set_zones",
    "slots_left",
    "standing",
    "suppress",
    "suppressed",
    "unfit",
    "unmark_minors",
    "unset_cap",
    "unsuppress",
    "used",
    "without_slot",
    "zones",
]
