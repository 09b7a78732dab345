"""The lake of events over HTTP: state, damage, commits."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from tagcast.access import Guarded
from tagcast.behaviour import mending, moving
from tagcast.kit import clock

router = APIRouter(prefix="/lake")


class TableOut(BaseModel):
    """The lake of one type of event."""

    type: str
    rows: int
    files: int
    bytes: int
    first: datetime | None = Field(description="Of the earliest event in it.")
    last: datetime | None
    waiting: int = Field(description="Batches in the database that are not in it yet; answers count them all the same.")
    agrees: bool = Field(description="False after a backup of the database was restored, until a worker has mended it.")
    damaged: bool = Field(description="Its log cannot be believed, so nothing else is known. A worker mends it.")
    version: int


class StatusOut(BaseModel):
    """Where the lake lies, what answers questions, and what it has of each type."""

    place: str
    engine: str
    types: list[TableOut]


class DamageOut(BaseModel):
    """A file that does not hold what was written."""

    type: str
    file: str
    rows: int
    first: datetime | None = Field(description="Of its earliest event; null for a file of the table's own log.")
    last: datetime | None
    repaired: bool


class VerifiedOut(BaseModel):
    """The damaged files; none when all hold what was written."""

    damaged: list[DamageOut]


class CommitOut(BaseModel):
    """One commit: what it did, how many rows it brought or took."""

    version: int
    at: datetime
    what: str
    rows: int


class HistoryOut(BaseModel):
    """The commits, newest first."""

    commits: list[CommitOut]


@router.get("", summary="数据湖状态 · The lake's state")
def status(entry: Guarded) -> StatusOut:
    """What is in the lake, and what waits to be brought in."""
    with entry.read() as work:
        types = [
            TableOut(
                type=one.type, rows=one.rows, files=one.files, bytes=one.bytes, first=_at(one.first_ms),
                last=_at(one.last_ms), waiting=one.waiting, agrees=one.agrees, damaged=one.damaged, version=one.version,
            )
            for one in moving.status(work)
        ]  # fmt: skip
        return StatusOut(place=str(work.lake.place), engine=work.lake.engine, types=types)


@router.post("/verify", summary="校验数据湖文件 · Compare every file with what was written")
def verify(
    entry: Guarded,
    repair: Annotated[bool, Query(description="Write anew what the database still has.")] = False,
) -> VerifiedOut:
    """Reads every file of the lake. What was not repaired has to be put back from a backup."""
    damaged = [
        DamageOut(
            type=one.type, file=one.file, rows=one.rows, first=_at(one.first_ms),
            last=_at(one.last_ms), repaired=one.repaired,
        )
        for one in mending.verify(entry.runtime, entry.caller.workspace, repair=repair)
    ]  # fmt: skip
    return VerifiedOut(damaged=damaged)


@router.get("/{type}/commits", summary="数据湖提交记录 · What was done to a type's lake")
def commits(entry: Guarded, type: str, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> HistoryOut:  # noqa: A002 - the path's word
    """What was brought, compacted and erased."""
    with entry.read() as work:
        found = moving.versions(work, type, limit)
    return HistoryOut(
        commits=[
            CommitOut(version=one.version, at=clock.from_ms(one.at_ms), what=one.what, rows=one.rows) for one in found
        ]
    )


def _at(moment_ms: int | None) -> datetime | None:
    return None if moment_ms is None else clock.from_ms(moment_ms)
