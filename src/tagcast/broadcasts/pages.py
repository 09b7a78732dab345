"""The tracked pages that a broadcast's message opens: made when it is sent, addressed per person or for all.

There is one page for each different text that people are sent together. Where every message is one person's, all open
the same page: no value stands on it, only defaults.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tagcast import tracking
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import store
from tagcast.broadcasts.store import Broadcast
from tagcast.kit.uow import Work

BUTTON = "查看详情"


def make(work: Work, broadcast: Broadcast) -> None:
    """Make the links of the broadcast, and the pages with the links behind their buttons; again changes nothing."""
    links = contents.make_links(work, broadcast)
    made: set[int] = set()
    known = {name: contents.script(work, said) for name, said in contents.contents_of(broadcast).items()}
    for said in store.sayings(work, broadcast.id) if links else ():
        one, no = known[said.get("variant", "")], _number(said)
        if no in made or not contents.is_tracked(one.content):
            continue
        made.add(no)
        title, body, label = contents.page_of(contents.shown(one, said))
        tracking.make_page(
            work,
            broadcast.key,
            title=title or broadcast.name,
            body=body,
            button_label=label or BUTTON,
            link=links[one.content.url],
            no=no,
        )


def personal(
    work: Work, broadcast: Broadcast, said: Mapping[str, Any], numbers: Sequence[int], base_url: str
) -> list[str]:
    """One address a recipient of what a chunk says, empty strings when it leads nowhere."""
    page = _page(work, broadcast, said)
    return [""] * len(numbers) if page is None else tracking.personal_urls(work, page.link, numbers, base_url)


def shared(work: Work, broadcast: Broadcast, said: Mapping[str, Any], base_url: str) -> str:
    """One address for all recipients of what a chunk says, or an empty string."""
    page = _page(work, broadcast, said)
    return "" if page is None else tracking.shared_url(work, page.link, base_url)


def _page(work: Work, broadcast: Broadcast, said: Mapping[str, Any]) -> tracking.Page | None:
    if not contents.is_tracked(contents.content_of(broadcast, said)):
        return None
    return tracking.page_of(work, broadcast.key, _number(said))


def _number(said: Mapping[str, Any]) -> int:
    return int(said.get("page", 1))
