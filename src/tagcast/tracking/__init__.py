"""Links and message pages that were sent, and who came. Owns: link, message_page, hit_batch, link_tally.

Sets derived from visits: `<ref>:opened` and `<ref>:clicked`, contact numbers of people (not programs) with a link of
their own.
"""

from tagcast.tracking.actions import (
    click_links,
    fold,
    forget,
    make_link,
    make_page,
    message_url,
    page_of,
    personal_urls,
    shared_url,
    totals,
    unfolded,
)
from tagcast.tracking.rules import Link, Page, Totals
from tagcast.tracking.rules import destination as check_destination
from tagcast.tracking.visits import Visits

__all__ = [
    "Link",
    "Page",
    "Totals",
    "Visits",
    "check_destination",
    "click_links",
    "fold",
    "forget",
    "make_link",
    "make_page",
    "message_url",
    "page_of",
    "personal_urls",
    "shared_url",
    "totals",
    "unfolded",
]
