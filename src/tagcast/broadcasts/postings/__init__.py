"""企业微信 messages whose recipients are not contacts: mass messages to customer groups (客户群), and Moments (朋友圈).

A posting is planned with a waterfall of its own, hashed, sent once, and followed until its employees have confirmed.
Its posts are calls: one an owner of groups, one for a Moment. Owns: posting, posting_post, posting_outcome; the sets
`posting:<id>:…` (contacts, of Moments only).
"""

from tagcast.broadcasts.postings.actions import cancel, draft, get, list_, plan, resume, send, status
from tagcast.broadcasts.postings.shapes import KIND, Line, Outcome, Plan, Posting, Status
from tagcast.broadcasts.postings.working import work_off

__all__ = [
    "KIND",
    "Line",
    "Outcome",
    "Plan",
    "Posting",
    "Status",
    "cancel",
    "draft",
    "get",
    "list_",
    "plan",
    "resume",
    "send",
    "status",
    "work_off",
]
