"""Files: what a message shows is uploaded before, for three days; a picture's address for ever."""

from typing import Literal

from tagcast.channels.calls import Answer, Caller, Downloaded
from tagcast.channels.errors import Effect, lost
from tagcast.channels.wecom.limits import within

MediaKind = Literal["image", "voice", "video", "file"]
AttachmentKind = Literal["image", "video", "file"]
AttachmentUse = Literal["moment", "album"]
_USES: dict[AttachmentUse, str] = {"moment": "1", "album": "2"}


class _Media(Answer):
    media_id: str


class _Url(Answer):
    url: str


class Media:
    """临时素材, 图片, 附件资源. A media_id dies after three days: upload just before a message is created."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def upload(self, kind: MediaKind, name: str, content: bytes) -> str:
        """Upload a file for three days; gives its media_id, which all apps of the corp share.

        Raises ValueError for 5 bytes or fewer, or more than 10 MB (image, video), 2 MB (voice), 20 MB (file).
        """
        within("file_least", content)
        within(f"file_{kind}", content)
        query = {"type": kind}
        return (await self._caller.upload("/cgi-bin/media/upload", name, content, _Media, query=query)).media_id

    async def upload_image(self, name: str, content: bytes) -> str:
        """Upload a picture for ever; gives its URL, the only kind that a link card or `Image.url` may show.

        A corp has 1,000 a day and 3,000 a month. Raises ValueError as `upload`.
        """
        within("file_least", content)
        within("file_image", content)
        return (await self._caller.upload("/cgi-bin/media/uploadimg", name, content, _Url)).url

    async def upload_attachment(
        self, kind: AttachmentKind, name: str, content: bytes, *, use: AttachmentUse = "moment"
    ) -> str:
        """Upload a file for a Moment, or for the product album, for three days; gives its media_id.

        Raises ValueError for 5 bytes or fewer, or more than 10 MB.
        """
        within("file_least", content)
        within("file_attachment", content)
        query = {"media_type": kind, "attachment_type": _USES[use]}
        return (
            await self._caller.upload("/cgi-bin/media/upload_attachment", name, content, _Media, query=query)
        ).media_id

    async def get(self, media_id: str) -> Downloaded:
        """A file that was uploaded within the last three days; `media_gone` (40007) afterwards."""
        got = await self._caller.download("/cgi-bin/media/get", query={"media_id": media_id})
        if isinstance(got, Downloaded):
            return got
        raise lost("wecom", "media/get", effect=Effect.READ)
