"""Consent, suppression and frequency (合规). Owns: consent_record, account_send, compliance_cap."""

from tagcast.compliance.actions import (
    Standing,
    consented,
    on_import,
    purposes,
    record,
    standing,
    suppress,
    suppressed,
    unsuppress,
)
from tagcast.compliance.events import ConsentChanged
from tagcast.compliance.frequency import (
    Quota,
    account_quota,
    monthly_ceiling,
    over_cap,
    over_monthly_ceiling,
    record_sent,
    release,
    release_send,
    reserve,
    set_monthly_ceiling,
)
from tagcast.compliance.rules import Purpose, ceilings, check_purpose
from tagcast.compliance.store import ConsentRecord

__all__ = [
    "ConsentChanged",
    "ConsentRecord",
    "Purpose",
    "Quota",
    "Standing",
    "account_quota",
    "ceilings",
    "check_purpose",
    "consented",
    "monthly_ceiling",
    "on_import",
    "over_cap",
    "over_monthly_ceiling",
    "purposes",
    "record",
    "record_sent",
    "release",
    "release_send",
    "reserve",
    "set_monthly_ceiling",
    "standing",
    "suppress",
    "suppressed",
    "unsuppress",
]
