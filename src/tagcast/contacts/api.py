"""Contacts over HTTP: search, one person, attributes, import, export, platform sync."""

import json
import shutil
import uuid
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from tagcast import bitmaps, files
from tagcast.access import Guarded
from tagcast.contacts import actions, store, values, workflows
from tagcast.contacts.imports import NOTHING_ABOVE
from tagcast.contacts.rules import Attribute, AttributeType
from tagcast.contacts.sync import schedule, sync_account
from tagcast.contacts.tag_columns import with_tags
from tagcast.kit import clock
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Runtime, Work

router = APIRouter(prefix="/contacts")

Number = Annotated[int, Field(ge=1, le=0xFFFFFFFF)]


class Strict(BaseModel):
    """A request in which nothing unknown may stand."""

    model_config = ConfigDict(extra="forbid")


class PageOut(BaseModel):
    """Contact numbers, ascending; `next` continues after this page."""

    total: int
    numbers: list[int]
    next: int | None


class ContactOut(BaseModel):
    """One person, in the clear."""

    number: int
    created_at: datetime
    identities: dict[str, str] = Field(examples=[{"customer_id": "A1", "openid:3": "o…"}])
    texts: dict[str, str]
    attributes: dict[str, Any]
    following: list[int] = Field(description="Accounts that the person follows.")


class AttributeIn(Strict):
    """What an attribute is."""

    type: AttributeType
    purpose: str = Field(description="What it is collected for; without that it may not be stored.", max_length=200)
    scale: int = Field(default=0, description="Decimal places of a number.")
    label_zh: str = Field(default="", max_length=80)
    label_en: str = Field(default="", max_length=80)
    retention_days: int | None = Field(default=None, ge=1, description="How long values may be kept.")


class AttributeOut(AttributeIn):
    """A declared attribute."""

    name: str
    values: dict[str, int] | None = Field(default=None, description="Contacts by value, of choices and flags.")


class AttributesOut(BaseModel):
    """The declared attributes."""

    attributes: list[AttributeOut]


class ProblemOut(BaseModel):
    """Why a row was refused."""

    line: int
    code: str
    zh: str
    en: str


class ImportOut(BaseModel):
    """What an import did; `refused_rows` is where the refused rows can be fetched as CSV."""

    job: int
    rows: int
    made: int
    matched: int
    changed: int
    refused: int
    dropped: list[str]
    dry_run: bool
    already: bool
    problems: list[ProblemOut] = Field(description="The first ones.")
    refused_rows: str | None


class ExportIn(Strict):
    """Whom to export, and what of them."""

    columns: list[str] = Field(examples=[["number", "identity:customer_id", "attribute:region"]], min_length=1)
    numbers: list[Number] | None = Field(default=None, description="None: everyone.")
    format: Literal["csv", "parquet"] = "csv"


class SyncOut(BaseModel):
    """What a sync found. `asked`: people of whom more than their id was read."""

    account: int
    seen: int
    made: int
    joined: int
    left: int
    conflicts: int
    asked: int
    dry_run: bool


class ScheduleIn(Strict):
    """How often an account is compared with its platform, in hours; 0: never."""

    every_hours: int


@router.get("", summary="列出联系人，或按身份查找 · List contacts, or find one by identity")
def search(
    entry: Guarded,
    *,
    kind: Annotated[str | None, Query(description="Kind of identity, e.g. customer_id, openid.")] = None,
    value: Annotated[str | None, Query(max_length=128)] = None,
    account: Annotated[int, Query(ge=0)] = 0,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> PageOut:
    """Numbers only: what is known of a person is in `/contacts/{number}`."""
    if (kind is None) != (value is None):
        raise Invalid("contacts.bad_filter")
    with entry.read() as work:
        if kind is not None and value is not None:
            found = [number for number in actions.numbers_of(work, kind, [value], account) if number is not None]
            return PageOut(total=len(found), numbers=found, next=None)
        everyone = actions.everyone(work)
        start = everyone.rank(after)
        page = list(everyone[start : start + limit]) if start < len(everyone) else []
        more = start + limit < len(everyone)
        return PageOut(total=len(everyone), numbers=page, next=page[-1] if more else None)


@router.get("/attributes", summary="属性列表 · The attributes")
def attributes(entry: Guarded) -> AttributesOut:
    with entry.read() as work:
        return AttributesOut(attributes=[_attribute(work, one) for one in store.all_attributes(work).values()])


@router.put("/attributes/{name}", summary="声明属性 · Declare an attribute")
def declare(entry: Guarded, name: str, body: AttributeIn) -> AttributeOut:
    def use_case(work: Work) -> AttributeOut:
        given = body.model_dump(exclude={"type", "retention_days"})
        values.declare_attribute(work, name, body.type, **given)
        return _attribute(work, values.keep_for(work, name, body.retention_days))

    return entry.write(use_case)


@router.delete("/attributes/{name}", summary="删除属性及其值 · Delete an attribute and its values")
def forget(entry: Guarded, name: str) -> AttributesOut:
    def use_case(work: Work) -> AttributesOut:
        values.forget_attribute(work, name)
        return AttributesOut(attributes=[_attribute(work, one) for one in store.all_attributes(work).values()])

    return entry.write(use_case)


@router.post("/imports", summary="导入联系人文件 · Import people from a file")
def import_file(
    entry: Guarded,
    request: Request,
    *,
    file: Annotated[UploadFile, File(description="CSV or Parquet.")],
    mapping: Annotated[str, Form(description='JSON: {"column": "identity:customer_id", …}.')],
    tag: Annotated[list[str] | None, Form(description="Path of a tag for every row; repeatable.")] = None,
    make_tags: Annotated[bool, Form(description="Make tags that are not there.")] = False,
    dry_run: Annotated[bool, Form()] = False,
    encoding: Annotated[str | None, Form(description="Else found out.")] = None,
) -> ImportOut:
    """The same file under the same mapping is imported once; a repeated request goes on where it stopped."""
    with _Upload(entry.runtime, file) as path:
        result = workflows.import_contacts(
            entry.runtime,
            entry.caller.workspace,
            files.open_table(path, encoding=encoding),
            with_tags(_mapping(mapping), tag or []),
            actor=entry.caller.actor,
            above=replace(getattr(request.app.state, "above", NOTHING_ABOVE), make_tags=make_tags),
            dry_run=dry_run,
        )
    return import_out(request, result)


@router.get("/imports/{job}/refused", summary="被拒绝的行（CSV）· Refused rows of an import")
def refused(entry: Guarded, job: int) -> FileResponse:
    with entry.read() as work:
        path = workflows.find_refused(entry.runtime, work, job)
    return FileResponse(path, media_type="text/csv; charset=utf-8", filename=f"refused-{job}.csv")


@router.post("/export", summary="导出联系人 · Export contacts", response_class=FileResponse)
def export(entry: Guarded, body: ExportIn) -> Response:
    folder = entry.runtime.settings.home / "exports"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}.{body.format}"
    with entry.read() as work:
        everyone = actions.everyone(work)
        members = everyone if body.numbers is None else bitmaps.pack(body.numbers) & everyone
        try:
            workflows.export(work, members, body.columns, path, format=body.format)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return FileResponse(path, filename=f"contacts.{body.format}", background=BackgroundTask(path.unlink))


@router.post("/sync/{account}", summary="从平台同步联系人 · Sync an account's people from its platform")
async def sync(entry: Guarded, account: int, full: bool = False, dry_run: bool = False) -> SyncOut:
    """Answers when the sync is done; interrupted, it goes on where it stopped when it is asked for again.

    `full`: ask about everybody again, not about new people only. `dry_run`: count, and change nothing.
    """
    found = await sync_account(entry.runtime, entry.caller.workspace, account, full=full, dry_run=dry_run)
    return SyncOut(**asdict(found))


@router.put("/sync/{account}/schedule", summary="设置定期同步 · How often an account's people are compared")
def sync_schedule(entry: Guarded, account: int, body: ScheduleIn) -> ScheduleIn:
    def use_case(work: Work) -> ScheduleIn:
        schedule(work, account, body.every_hours)
        return body

    return entry.write(use_case)


@router.get("/{number}", summary="联系人详情 · One contact")
def show(entry: Guarded, number: Number) -> ContactOut:
    with entry.read() as work:
        seen = values.describe(work, number)
    return ContactOut(
        number=seen.number,
        created_at=clock.from_ms(seen.created_ms),
        identities=seen.identities,
        texts=seen.texts,
        attributes=seen.attributes,
        following=list(seen.following),
    )


@router.delete("/{number}", summary="删除联系人 · Erase a contact for good")
def erase(entry: Guarded, number: Number) -> PageOut:
    def use_case(work: Work) -> PageOut:
        actions.erase(work, number)
        return PageOut(total=len(actions.everyone(work)), numbers=[], next=None)

    return entry.write(use_case)


def import_out(request: Request, result: workflows.ImportResult) -> ImportOut:
    """The answer to an import, with the address of the refused rows."""
    link = request.url_for("refused", job=result.job).path if result.refused_file is not None else None
    return ImportOut(
        job=result.job,
        rows=result.rows,
        made=result.made,
        matched=result.matched,
        changed=result.changed,
        refused=result.refused,
        dropped=list(result.dropped),
        dry_run=result.dry_run,
        already=result.already,
        problems=[ProblemOut(**asdict(problem)) for problem in result.problems],
        refused_rows=link,
    )


def _attribute(work: Work, one: Attribute) -> AttributeOut:
    counted = values.choices(work, one.name) if one.type in {"choice", "flag"} else None
    return AttributeOut(
        name=one.name,
        type=one.type,
        purpose=one.purpose,
        scale=one.scale,
        label_zh=one.label_zh,
        label_en=one.label_en,
        retention_days=one.retention_days,
        values=counted,
    )


def _mapping(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Invalid("contacts.bad_mapping_file", file="mapping", reason=str(error)) from None
    if not isinstance(found, dict) or not all(isinstance(target, str) for target in found.values()):
        raise Invalid("contacts.bad_mapping_file", file="mapping", reason='{"column": "target"}')
    return found


class _Upload:
    """An uploaded file under a name of our own, for as long as the block lasts."""

    def __init__(self, runtime: Runtime, upload: UploadFile) -> None:
        folder = runtime.settings.home / "imports"
        folder.mkdir(mode=0o700, exist_ok=True)
        self.path = folder / f"upload-{uuid.uuid4().hex}"
        self.upload = upload

    def __enter__(self) -> FilePath:
        with self.path.open("wb") as target:
            shutil.copyfileobj(self.upload.file, target)
        return self.path

    def __exit__(self, *_error: object) -> None:
        self.path.unlink(missing_ok=True)
