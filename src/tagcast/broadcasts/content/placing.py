"""Files of our store brought to the platform just before a message is sent, and their names there put into it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tagcast import accounts, channels
from tagcast.broadcasts.content import kinds, media
from tagcast.broadcasts.content.kinds import Content


@dataclass(frozen=True, slots=True)
class Placed:
    """Messages that the platform can show, and the ids there of the files they name."""

    messages: list[channels.Message]
    ids: Mapping[str, str]

    async def forget(self, connected: accounts.Connected) -> None:
        """The platform does not have them any more: the next time they are uploaded anew."""
        for platform_id in self.ids.values():
            await accounts.forget_file(connected, platform_id)


async def place(connected: accounts.Connected, messages: Sequence[channels.Message]) -> Placed:
    """Upload the files of our store that the messages name, unless the platform has them still.

    A cover of an article is left to who makes the draft. Raises what `Connected.call` raises.
    """
    ids: dict[str, str] = {}
    placed: list[channels.Message] = []
    for message in messages:
        given: dict[str, str] = {}
        for field in ("media_id", "cover_media_id", "picture_url"):
            reference = getattr(message, field, "")
            number = kinds.stored(reference)
            if number is None:
                continue
            use = {"picture_url": "url", "cover_media_id": kinds.cover_use(message.kind)}.get(field, message.kind)
            given[field] = ids[f"{use}:{number}"] = await accounts.place_file(
                connected, await stored_file(connected, use, number)
            )
        placed.append(replace(message, **given) if given else message)  # type: ignore[arg-type]  # texts all of them
    return Placed(placed, ids)


async def cover(connected: accounts.Connected, content: Content) -> accounts.File | None:
    """The picture of our store over an article, or None when it names none."""
    number = kinds.stored(content.cover)
    return None if number is None else await stored_file(connected, kinds.cover_use(content.kind), number)


async def stored_file(connected: accounts.Connected, use: str, number: int) -> accounts.File:
    """A file of our store as the platform is to have it: `image`, `voice`, `video`, `file`, `thumb`, or `url`."""
    name, content = await asyncio.to_thread(_read, connected, number)
    if connected.account.kind == "wecom":
        if use == "url":
            return accounts.File(use, content, partial(connected.wecom.media.upload_image, name, content), lasting=True)
        upload = partial(connected.wecom.media.upload, use, name, content)  # type: ignore[arg-type]  # checked kind
        return accounts.File(use, content, upload)
    if use == "url":
        picture = partial(connected.official.media.upload_for_article, name, content)
        return accounts.File(use, content, picture, lasting=True)

    async def store() -> str:
        files = connected.official.media
        if use == "video":
            return (await files.store_video(name, content, title=name.rpartition(".")[0] or name)).media_id
        return (await files.store(use, name, content)).media_id  # type: ignore[arg-type]  # checked kind

    return accounts.File(use, content, store, lasting=True)


def _read(connected: accounts.Connected, number: int) -> tuple[str, bytes]:
    with connected.runtime.read(connected.workspace, "worker") as work:
        return media.get(work, number).name, media.content_of(work, number)
