"""What a chunk's recipients are told when it is sent: the texts put together, tracked addresses in their places."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tagcast import tracking
from tagcast.broadcasts.content import kinds, rendering, scripts
from tagcast.broadcasts.content.fields import Numbers
from tagcast.broadcasts.content.kinds import Content
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Told:
    """What each recipient of a chunk is told. `texts`: path → text a recipient, of those texts that are not equal.

    `shared`: as it reads without anybody's values. `lacking`: indices of those who lack a value that a text needs.
    """

    content: Content
    shared: Content
    texts: Mapping[str, Sequence[str]]
    lacking: frozenset[int]

    def values(self, keywords: Sequence[str]) -> list[Sequence[str]]:
        """Of a template message, the values of each recipient; only one where they are everybody's."""
        size = len(next(iter(self.texts.values()), ()))
        shared = [self.content.data[keyword] for keyword in keywords]
        if not size:
            return [shared]
        columns = [
            self.texts.get(f"data.{keyword}") or [value] * size for keyword, value in zip(keywords, shared, strict=True)
        ]
        return list(zip(*columns, strict=True))

    def fields(self, index: int) -> dict[str, Any]:
        """Fields of a channels' message that are one recipient's own."""
        said: dict[str, Any] = {}
        for path, texts in self.texts.items():
            if path == "text":
                said["content"] = texts[index]
            elif path == "body":
                said["body"] = kinds.article_html(texts[index])
            elif path.startswith("data."):
                said.setdefault("data", dict(self.shared.data))[path.removeprefix("data.")] = texts[index]
            elif path != "button":
                said[path] = texts[index]
        return said


def tell(work: Work, broadcast: Broadcast, chunk: Chunk, base_url: str) -> Content:
    """What the recipients of a chunk are told together, with the addresses that all share."""
    one = scripts.script(work, scripts.content_of(broadcast, chunk.said))
    if not one.parts:
        return one.content
    links = shared_links(work, broadcast, one.content, base_url)
    return one.one(scripts.filled(one, chunk.said.get("fill", {}), links))


def tell_each(work: Work, broadcast: Broadcast, chunk: Chunk, base_url: str) -> Told:
    """What each recipient of a chunk is told, with addresses of his own. Who lacks a needed value is in `lacking`."""
    one = scripts.script(work, scripts.content_of(broadcast, chunk.said))
    if not one.parts:
        return Told(one.content, one.content, {}, frozenset())
    numbers: Numbers = chunk.recipients
    links = personal_links(work, broadcast, one.content, numbers, base_url)
    frame = scripts.frame(work, broadcast, one, numbers, links=links)
    lacking: set[int] = set()
    for parts in one.parts.values():
        for mask in rendering.lacking(parts, frame).values():
            lacking.update(np.flatnonzero(mask).tolist())
    shared = scripts.shown(one, chunk.said)
    return Told(one.content, shared, one.texts(frame), frozenset(lacking))


def make_links(work: Work, broadcast: Broadcast) -> dict[str, tracking.Link]:
    """The tracked links of all that a broadcast may say, each with its own number; again changes nothing."""
    urls = [url for content in scripts.contents_of(broadcast).values() for url in kinds.links_of(content)]
    return {url: tracking.make_link(work, broadcast.key, url, no=no) for no, url in enumerate(dict.fromkeys(urls), 1)}


def shared_links(work: Work, broadcast: Broadcast, content: Content, base_url: str) -> dict[str, str]:
    """Address → the tracked address that all share."""
    return {url: tracking.shared_url(work, link, base_url) for url, link in _links(work, broadcast, content).items()}


def personal_links(
    work: Work, broadcast: Broadcast, content: Content, numbers: Numbers, base_url: str
) -> dict[str, list[str]]:
    """Address → the tracked address of each contact."""
    return {
        url: tracking.personal_urls(work, link, numbers.tolist(), base_url)
        for url, link in _links(work, broadcast, content).items()
    }


def _links(work: Work, broadcast: Broadcast, content: Content) -> dict[str, tracking.Link]:
    made = {link.destination: link for link in tracking.click_links(work, broadcast.key)}
    known = {url: made.get(tracking.check_destination(url)) for url in kinds.links_of(content)}
    return {url: link for url, link in known.items() if link is not None}
