"""What broadcasts say, over HTTP: files that messages show, and the different texts of a broadcast."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel

from tagcast.access import Guarded
from tagcast.broadcasts import store
from tagcast.broadcasts.content import addressees, media, texts_needed, worst_cases

router = APIRouter()


class MediaOut(BaseModel):
    """A file of the store; a message names it `media:<id>`."""

    id: int
    reference: str
    kind: str
    name: str
    size: int
    digest: str
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, found: media.Media) -> "MediaOut":
        """From the stored one."""
        return cls(
            id=found.id,
            reference=found.reference,
            kind=found.kind,
            name=found.name,
            size=found.size,
            digest=found.digest,
            created_at=found.created_at,
            created_by=found.created_by,
        )


class MediaListOut(BaseModel):
    """Files, the newest first."""

    items: list[MediaOut]


class TextOut(BaseModel):
    """One of the texts: how many get it, one of them, and what it says."""

    contacts: int
    contact: int
    content: dict[str, Any]


class CaseOut(BaseModel):
    """A text worth a look: `why` is longest, shortest, if or else."""

    why: str
    field: str
    contact: int
    size: int
    content: dict[str, Any]


class TextsOut(BaseModel):
    """The different texts of a broadcast, the most frequent first, at most 100 of them; and the extremes."""

    different: int
    texts: list[TextOut]
    cases: list[CaseOut]


@router.post("/media", status_code=201, summary="上传图片、视频、语音或文件 · Add a file that messages show")
def add(
    entry: Guarded,
    content: Annotated[bytes, Body(media_type="application/octet-stream", description="The file itself.")],
    name: Annotated[str, Query(min_length=1, max_length=200, description="Its name, with its ending.")],
    kind: Annotated[str, Query(description="image, voice, video or file; told by the ending if left out.")] = "",
) -> MediaOut:
    return entry.write(lambda work: MediaOut.of(media.add(work, name, content, kind)))


@router.get("/media", summary="文件列表 · List the files")
def list_media(entry: Guarded) -> MediaListOut:
    with entry.read() as work:
        return MediaListOut(items=[MediaOut.of(found) for found in media.all_(work)])


@router.get("/media/{number}", summary="查看文件信息 · Show a file")
def show_media(entry: Guarded, number: int) -> MediaOut:
    with entry.read() as work:
        return MediaOut.of(media.get(work, number))


@router.get("/media/{number}/content", summary="下载文件 · Download a file", response_class=Response)
def download(entry: Guarded, number: int) -> Response:
    with entry.read() as work:
        return Response(
            media.content_of(work, number),
            media_type="application/octet-stream",
            headers={"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"},
        )


@router.delete("/media/{number}", summary="删除文件 · Delete a file")
def remove(entry: Guarded, number: int) -> MediaOut:
    return entry.write(lambda work: MediaOut.of(media.remove(work, number)))


@router.get("/broadcasts/{broadcast}/texts", summary="群发的不同文本 · The different texts of a broadcast")
def texts(
    entry: Guarded, broadcast: int, variant: Annotated[str, Query(description="Name of a variant.")] = ""
) -> TextsOut:
    with entry.read() as work:
        found = store.get(work, broadcast)
        who = addressees(work, found)
        needed = texts_needed(work, found, who, variant)
        return TextsOut(
            different=needed.different,
            texts=[
                TextOut(contacts=one.contacts, contact=one.contact, content=one.content.to_json())
                for one in needed.texts
            ],
            cases=[
                CaseOut(
                    why=case.why,
                    field=case.field,
                    contact=case.contact,
                    size=case.size,
                    content=case.content.to_json(),
                )
                for case in worst_cases(work, found, who, variant)
            ],
        )
