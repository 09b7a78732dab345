"""Previews and test sends over HTTP."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from tagcast.access import Guarded
from tagcast.broadcasts import previews, store
from tagcast.kit.uow import Work

router = APIRouter(prefix="/broadcasts")


class Asked(BaseModel):
    """As whom: named contacts, the worst cases, or else a sample."""

    model_config = ConfigDict(extra="forbid")

    contact: list[int] = Field(default_factory=list, description="联系人编号，可多个 · Numbers of contacts.")
    worst: bool = Field(False, description="最长、最短、条件两侧、缺值 · The longest, the shortest, both sides, gaps.")
    sample: int = Field(3, ge=1, le=20, description="抽样人数 · How many of the audience.")
    variant: str = Field("", description="版本；留空为各人自己的 · Else each sees his own.")


class AskedPicture(Asked):
    """The same as a picture."""

    lang: Literal["zh", "en"] = "zh"
    theme: Literal["auto", "light", "dark"] = "auto"


class SizeOut(BaseModel):
    """A field that has a limit."""

    model_config = ConfigDict(from_attributes=True)

    field: str
    size: int
    limit: int
    unit: str
    source: str


class PartOut(BaseModel):
    """One message in the platform's words."""

    kind: str
    fields: dict[str, Any]
    sizes: list[SizeOut]


class PageOut(BaseModel):
    """The page that the message opens."""

    title: str
    text: str
    button: str


class PreviewOut(BaseModel):
    """The message as one contact gets it. `why`: longest, shortest, if, else, missing, same, or empty of a sample."""

    contact: int
    variant: str
    why: str
    field: str
    size: int
    parts: list[PartOut]
    page: PageOut | None
    over: list[str]

    @classmethod
    def of(cls, found: previews.Preview) -> "PreviewOut":
        """From the worked out one."""
        return cls(
            contact=found.contact,
            variant=found.variant,
            why=found.why,
            field=found.field,
            size=found.size,
            parts=[PartOut.model_validate(one, from_attributes=True) for one in found.parts],
            page=PageOut(title=found.page[0], text=found.page[1], button=found.page[2]) if found.page else None,
            over=found.over,
        )


class PreviewsOut(BaseModel):
    """Previews in their order."""

    items: list[PreviewOut]


class TesterIn(BaseModel):
    """A tester of an account: a contact it knows, or on 企业微信 an employee."""

    model_config = ConfigDict(extra="forbid")

    account: int | str
    contact: int = 0
    userid: str = Field("", max_length=64)
    agreed: bool = Field(False, description="本人已同意接收测试消息 · He agreed to be shown messages.")


class TesterOut(BaseModel):
    """Who is shown messages before they are sent."""

    id: int
    account: int
    contact: int
    userid: str
    added_at: datetime
    added_by: str


class TestersOut(BaseModel):
    """Testers, by when they were added."""

    items: list[TesterOut]


class TestIn(BaseModel):
    """Whom to show what; without testers the first of the list, without a variant each."""

    model_config = ConfigDict(extra="forbid")

    testers: list[int] = Field(default_factory=list)
    variant: str | None = None
    like: int = Field(0, description="按此联系人的内容 · As this contact gets it.")
    again: bool = Field(False, description="已看过的也再发 · Also to who was shown it before.")


class ShownOut(BaseModel):
    """What came of it. `state`: sent, failed, unknown, or already."""

    tester: int
    contact: int
    userid: str
    variant: str
    state: str
    reason: str
    sentence_zh: str
    sentence_en: str


class TestsOut(BaseModel):
    """Test sends. `untested`: variants that nobody was shown as they stand."""

    items: list[ShownOut]
    untested: list[str]


class RequiredOut(BaseModel):
    """Above how many recipients a test is required; null: never."""

    model_config = ConfigDict(extra="forbid")

    above: int | None


@router.get("/testers", summary="测试人员 · Testers")
def testers(entry: Guarded) -> TestersOut:
    with entry.read() as work:
        return TestersOut(items=[_tester(one) for one in previews.listed(work, None)])


@router.post("/testers", status_code=201, summary="添加测试人员 · Put somebody on the list of testers")
def add_tester(entry: Guarded, body: TesterIn) -> TesterOut:
    return entry.write(lambda work: _tester(previews.add(work, **body.model_dump())))


@router.delete("/testers/{tester}", status_code=204, summary="移除测试人员 · Take a tester off the list")
def remove_tester(entry: Guarded, tester: int) -> Response:
    with entry.runtime.work(entry.caller.workspace, entry.caller.actor) as work:
        previews.remove(work, tester)
    return Response(status_code=204)


@router.get("/required-test", summary="多大规模须先测试 · Above which size a test is required")
def required(entry: Guarded) -> RequiredOut:
    with entry.read() as work:
        return RequiredOut(above=previews.above(work))


@router.put("/required-test", summary="设置须先测试的规模 · Set above which size a test is required")
def set_required(entry: Guarded, body: RequiredOut) -> RequiredOut:
    def change(work: Work) -> RequiredOut:
        previews.set_above(work, body.above)
        return RequiredOut(above=previews.above(work))

    return entry.write(change)


@router.get("/{broadcast}/previews", summary="预览（数据） · Previews, as data")
def show_previews(entry: Guarded, broadcast: int, asked: Annotated[Asked, Query()]) -> PreviewsOut:
    with entry.read() as work:
        return PreviewsOut(items=[PreviewOut.of(one) for one in _previews(work, broadcast, asked)])


@router.get(
    "/{broadcast}/previews/picture",
    response_class=HTMLResponse,
    summary="预览（手机画面） · Previews, as a page of phones",
)
def picture(entry: Guarded, broadcast: int, asked: Annotated[AskedPicture, Query()]) -> HTMLResponse:
    with entry.read() as work:
        found = _previews(work, broadcast, asked)
        name = store.get(work, broadcast).name
    page = previews.picture.render(found, name, asked.lang, asked.theme)
    return HTMLResponse(page, headers={"Content-Security-Policy": previews.picture.policy()})


@router.post("/{broadcast}/tests", summary="测试发送 · Show it to testers")
async def test(entry: Guarded, broadcast: int, body: TestIn) -> TestsOut:
    asked = previews.Asked(tuple(body.testers), body.variant, body.like, body.again)
    found = await previews.send(entry.runtime, entry.caller.workspace, entry.caller.actor, broadcast, asked)
    return await asyncio.to_thread(_tests, entry, broadcast, found)


@router.get("/{broadcast}/tests", summary="测试发送的结果 · What testers were shown")
def tests(entry: Guarded, broadcast: int) -> TestsOut:
    with entry.read() as work:
        found = previews.tested(work, broadcast)
    return _tests(entry, broadcast, found)


def _tests(entry: Guarded, broadcast: int, found: list[previews.Shown]) -> TestsOut:
    with entry.read() as work:
        left = previews.untested(work, store.get(work, broadcast))
    return TestsOut(items=[ShownOut.model_validate(one, from_attributes=True) for one in found], untested=left)


def _tester(found: previews.Tester) -> TesterOut:
    return TesterOut.model_validate(found, from_attributes=True)


def _previews(work: Work, broadcast: int, asked: Asked) -> list[previews.Preview]:
    if asked.worst:
        return previews.worst(work, broadcast)
    if asked.contact:
        return previews.named(work, broadcast, asked.contact, variant=asked.variant)
    return previews.sampled(work, broadcast, asked.sample, variant=asked.variant)
