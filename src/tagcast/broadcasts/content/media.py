"""The store of files that messages show: pictures, recordings, films, documents. Each is kept once."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

import sqlalchemy as sa
from sqlalchemy.engine import Row

from tagcast import accounts
from tagcast.broadcasts.content import kinds, templates
from tagcast.broadcasts.content.kinds import Content
from tagcast.broadcasts.tables import broadcasts
from tagcast.broadcasts.tables import media as table
from tagcast.kit import clock
from tagcast.kit.crypto import digest
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused
from tagcast.kit.uow import Work

KINDS = ("image", "voice", "video", "file")
# How files of a format begin.
_STARTS: dict[str, tuple[bytes, ...]] = {
    "jpg": (b"\xff\xd8\xff",),
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "gif": (b"GIF87a", b"GIF89a"),
    "bmp": (b"BM",),
    "amr": (b"#!AMR",),
    "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
}


@dataclass(frozen=True, slots=True)
class Media:
    """A file of the store, without its content."""

    id: int
    kind: str
    name: str
    size: int
    digest: str
    created_at: datetime
    created_by: str

    @property
    def reference(self) -> str:
        """How a content names it."""
        return f"media:{self.id}"


def kind_of(name: str) -> str:
    """What a file's name says that it is."""
    ending = _ending(name)
    return next((kind for kind in KINDS if ending in templates.limits()["media"][kind]["endings"]), "file")


def _ending(name: str) -> str:
    return PurePath(name).suffix.lower().removeprefix(".")


def add(work: Work, name: str, content: bytes, kind: str = "") -> Media:
    """Keep a file; the same content under the same kind is kept once. `kind` is told by the name's ending if not given.

    Raises Invalid for a kind, a name, a size or a content that does not fit.
    """
    kind = kind or kind_of(name)
    if kind not in KINDS:
        raise Invalid("broadcasts.media_kind", kind=kind, known=", ".join(KINDS))
    limit = templates.limits()["media"][kind]
    name = PurePath(name.replace("\\", "/")).name.strip()
    if not 0 < len(name) <= 200 or not name.isprintable():
        raise Invalid("broadcasts.media_name")
    ending = _ending(name)
    if limit["endings"] and ending not in limit["endings"]:
        raise Invalid("broadcasts.media_ending", name=name, kind=kind, endings=", ".join(limit["endings"]))
    if not 5 < len(content) <= limit["max"]:
        raise Invalid("broadcasts.media_size", name=name, size=len(content), limit=limit["max"])
    starts = _STARTS.get(ending) if kind != "file" else None
    if (starts and not content.startswith(starts)) or (ending == "mp4" and content[4:8] != b"ftyp"):
        raise Invalid("broadcasts.media_content", name=name, ending=ending)
    same = digest(content)
    c = table.c
    known = work.connection.execute(
        sa.select(*_SHOWN).where(c.workspace == work.workspace, c.kind == kind, c.digest == same)
    ).one_or_none()
    if known is not None:
        return _media(known)
    row = {
        "workspace": work.workspace,
        "kind": kind,
        "name": name,
        "size": len(content),
        "digest": same,
        "content": content,
        "created_at": work.now_ms,
        "created_by": work.actor,
    }
    made = work.connection.execute(sa.insert(table).values(row)).inserted_primary_key
    assert made is not None
    return get(work, int(made[0]))


def get(work: Work, number: int) -> Media:
    """A file of the store. Raises NotFound."""
    found = work.connection.execute(
        sa.select(*_SHOWN).where(table.c.workspace == work.workspace, table.c.id == number)
    ).one_or_none()
    if found is None:
        raise NotFound("broadcasts.no_media", media=number)
    return _media(found)


def content_of(work: Work, number: int) -> bytes:
    """The bytes of a file. Raises NotFound."""
    found = work.connection.scalar(
        sa.select(table.c.content).where(table.c.workspace == work.workspace, table.c.id == number)
    )
    if found is None:
        raise NotFound("broadcasts.no_media", media=number)
    return bytes(found)


def all_(work: Work) -> list[Media]:
    """The files, the newest first."""
    rows = work.connection.execute(
        sa.select(*_SHOWN).where(table.c.workspace == work.workspace).order_by(table.c.id.desc())
    )
    return [_media(row) for row in rows]


def remove(work: Work, number: int) -> Media:
    """Delete a file. Raises NotFound; Conflict while a broadcast that is not over shows it, naming it."""
    found = get(work, number)
    c = broadcasts.c
    rows = work.connection.execute(
        sa.select(c.id, c.name, c.content, c.settings).where(c.workspace == work.workspace, c.finished_at.is_(None))
    )
    users = [f"{row.name} ({row.id})" for row in rows if _names(row.content, found) or _names(row.settings, found)]
    if users:
        raise Conflict("broadcasts.media_used", media=number, users=", ".join(users[:5]))
    work.connection.execute(sa.delete(table).where(table.c.workspace == work.workspace, table.c.id == number))
    return found


def _names(said: object, media: Media) -> bool:
    if isinstance(said, dict):
        return any(_names(part, media) for part in said.values())
    if isinstance(said, list):
        return any(_names(part, media) for part in said)
    return said == media.reference


def check(work: Work, account: accounts.Account, content: Content) -> None:
    """Raises NotFound for a file that is not there, Invalid for one that the platform would not take, Refused where
    nothing can be uploaded.
    """
    for path, number, use in kinds.media_of(content):
        found = get(work, number)
        if account.kind == "custom":
            raise Refused("broadcasts.no_upload", account=account.name, field=path)
        needed = use if use in KINDS else "image"
        if found.kind != needed:
            raise Invalid("broadcasts.media_other_kind", field=path, media=number, kind=found.kind, needed=needed)
        limits = templates.limits()["uploads"]["wecom" if account.kind == "wecom" else "official"]
        limit = limits.get(use, limits["image"])
        if found.size > limit["max"] or (limit["endings"] and _ending(found.name) not in limit["endings"]):
            reason = (
                f"{found.size} > {limit['max']} bytes" if found.size > limit["max"] else ", ".join(limit["endings"])
            )
            raise Invalid(
                "broadcasts.media_for_account", field=path, name=found.name, account=account.name, reason=reason
            )


_SHOWN = [column for column in table.c if column.name not in ("workspace", "content")]


def _media(row: Row[tuple[object, ...]]) -> Media:
    return Media(row.id, row.kind, row.name, row.size, row.digest, clock.from_ms(row.created_at), row.created_by)
