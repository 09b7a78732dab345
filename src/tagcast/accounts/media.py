"""Files on the platforms: uploaded once, used again while they last.

Temporary media live three days on both platforms; a scheduled broadcast must find them alive when it goes out, so one
that would end within `margin` is uploaded anew. Permanent material and pictures of articles are kept for ever and
uploaded once for each content.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import sqlalchemy as sa

from tagcast.accounts.connect import Connected
from tagcast.accounts.tables import media
from tagcast.channels import ChannelError
from tagcast.kit import clock, db
from tagcast.kit.crypto import digest
from tagcast.kit.uow import Work

T = TypeVar("T")

LIFE = timedelta(days=3)
"""Source: both platforms' pages of media/upload, 2026-10-07."""
MARGIN = timedelta(hours=1)
GONE = "media_gone"
"""What channels call a media_id that the platform does not know any more (40007)."""


@dataclass(frozen=True, slots=True)
class File:
    """Content to have on a platform. `use` says as what: each use of the same content has its own id.

    `lasting`: it stays for ever, otherwise three days. `upload` makes one call of the client and gives the id or URL.
    """

    use: str
    content: bytes
    upload: Callable[[], Awaitable[str]]
    lasting: bool = False


async def place_file(connected: Connected, file: File, *, margin: timedelta = MARGIN) -> str:
    """The id (or URL) under which the platform has a file, uploaded if it has not, or not for `margin` any more.

    Raises what `Connected.call` raises. Two processes may upload the same content at the same time: one id is kept.
    """
    content = digest(file.content)
    found = await asyncio.to_thread(_find, connected, file.use, content, margin)
    if found is not None:
        return found
    platform_id = await connected.call(file.upload)
    row: dict[str, object] = {"use": file.use, "digest": content, "platform_id": platform_id}
    row["until"] = None if file.lasting else clock.to_ms(clock.now() + LIFE)
    await asyncio.to_thread(_keep, connected, row)
    return platform_id


async def use_file(connected: Connected, file: File, call: Callable[[str], Awaitable[T]]) -> T:
    """Make a call with a file's id. If the platform does not know the id any more it is uploaded again, once."""
    platform_id = await place_file(connected, file)
    try:
        return await connected.call(lambda: call(platform_id))
    except ChannelError as error:
        if error.reason != GONE:
            raise
    await forget_file(connected, platform_id)
    again = await place_file(connected, file)
    return await connected.call(lambda: call(again))


async def forget_file(connected: Connected, platform_id: str) -> None:
    """The platform does not have this any more."""
    await asyncio.to_thread(_forget, connected, platform_id)


def _find(connected: Connected, use: str, content: str, margin: timedelta) -> str | None:
    with connected.runtime.read(connected.workspace, "media") as work:
        c = media.c
        found: str | None = work.connection.scalar(
            sa.select(c.platform_id).where(
                c.workspace == work.workspace, c.account == connected.account.id, c.use == use, c.digest == content,
                sa.or_(c.until.is_(None), c.until > clock.to_ms(work.now + margin)),
            )
        )  # fmt: skip
        return found


def _keep(connected: Connected, row: dict[str, object]) -> None:
    with connected.runtime.work(connected.workspace, "media") as work:
        row = {"workspace": work.workspace, "account": connected.account.id, "made_at": work.now_ms, **row}
        db.upsert(work.connection, media, [row], ["workspace", "account", "use", "digest"])


def _forget(connected: Connected, platform_id: str) -> None:
    with connected.runtime.work(connected.workspace, "media") as work:
        c = media.c
        work.connection.execute(
            sa.delete(media).where(
                c.workspace == work.workspace, c.account == connected.account.id, c.platform_id == platform_id
            )
        )


def remove_all(work: Work, account: int) -> None:
    """Forget all files of an account."""
    work.connection.execute(sa.delete(media).where(media.c.workspace == work.workspace, media.c.account == account))
