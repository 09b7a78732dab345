"""The tracked page that a broadcast's message opens: made when it is sent, addressed per person or for all."""

from collections.abc import Sequence

from tagcast import tracking
from tagcast.broadcasts import content as contents
from tagcast.broadcasts.store import Broadcast
from tagcast.kit.uow import Work

BUTTON = "查看详情"


def make(work: Work, broadcast: Broadcast) -> None:
    """Make the page and the link behind its button, unless the content leads nowhere; again changes nothing."""
    said = contents.parse(broadcast.content)
    if not contents.is_tracked(said):
        return
    link = tracking.make_link(work, broadcast.key, said.url)
    body = said.body or said.text or "\n\n".join(said.data.values())
    label = said.button or BUTTON
    tracking.make_page(
        work, broadcast.key, title=said.title or broadcast.name, body=body, button_label=label, link=link
    )


def personal(work: Work, broadcast: Broadcast, numbers: Sequence[int], base_url: str) -> list[str]:
    """One address a recipient, empty strings when the content leads nowhere."""
    page = tracking.page_of(work, broadcast.key)
    return [""] * len(numbers) if page is None else tracking.personal_urls(work, page.link, numbers, base_url)


def shared(work: Work, broadcast: Broadcast, base_url: str) -> str:
    """One address for all recipients, or an empty string."""
    page = tracking.page_of(work, broadcast.key)
    return "" if page is None else tracking.shared_url(work, page.link, base_url)
