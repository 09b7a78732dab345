"""欢迎语: the first words to a new customer, and what newcomers of a group chat see."""

from collections.abc import Sequence
from typing import Any

from tagcast.channels.calls import Answer, Caller, Done
from tagcast.channels.errors import Effect
from tagcast.channels.messages import Message
from tagcast.channels.wecom.bodies import group_message_body
from tagcast.channels.wecom.limits import fits

SECONDS = 20
"""How long the welcome code of an event is good for."""


class GroupWelcome(Answer):
    """A 入群欢迎语素材 as the platform keeps it: text and one attachment, by kind (the shape is UNCONFIRMED)."""

    text: dict[str, Any] | None = None
    image: dict[str, Any] | None = None
    link: dict[str, Any] | None = None
    miniprogram: dict[str, Any] | None = None
    file: dict[str, Any] | None = None
    video: dict[str, Any] | None = None


class _TemplateId(Answer):
    template_id: str


class Welcome:
    """新客户欢迎语 and 入群欢迎语素材."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def send(self, code: str, content: Sequence[Message]) -> None:
        """Welcome a new customer with the event's `welcome_code`: once, and within 20 seconds of the event.

        An expired code is `welcome_expired` (41050); when the chat has begun, or somebody has welcomed already,
        `already_welcomed` (41051, as good as done); when another app is about to, `welcome_busy` (41096: one short
        repetition). Raises ValueError without a code, or for content that the platform refuses.
        """
        if not code:
            raise ValueError("there is no welcome code")
        fits(content)
        body = {"welcome_code": code} | group_message_body(content)
        await self._caller.post("/cgi-bin/externalcontact/send_welcome_msg", body, Done, effect=Effect.SEND)

    async def add_template(self, content: Sequence[Message], *, notify: bool = True) -> str:
        """Make a welcome for group chats: a text and at most one attachment; gives its template_id.

        `notify` tells the group owners of it. Raises ValueError for other content; 41055: the corp has too many.
        """
        body = _template(content) | {"notify": int(notify)}
        return (
            await self._caller.post(
                "/cgi-bin/externalcontact/group_welcome_template/add", body, _TemplateId, effect=Effect.SEND
            )
        ).template_id

    async def edit_template(self, template_id: str, content: Sequence[Message]) -> None:
        """Replace a welcome for group chats."""
        body = {"template_id": template_id} | _template(content)
        await self._caller.post("/cgi-bin/externalcontact/group_welcome_template/edit", body, Done)

    async def get_template(self, template_id: str) -> GroupWelcome:
        """A welcome for group chats."""
        body = {"template_id": template_id}
        return await self._caller.post("/cgi-bin/externalcontact/group_welcome_template/get", body, GroupWelcome)

    async def delete_template(self, template_id: str) -> None:
        """Delete a welcome for group chats."""
        body = {"template_id": template_id}
        await self._caller.post("/cgi-bin/externalcontact/group_welcome_template/del", body, Done)


def _template(content: Sequence[Message]) -> dict[str, Any]:
    fits(content)
    body = group_message_body(content)
    attachments = body.pop("attachments", [])
    if len(attachments) > 1:
        raise ValueError("a welcome for group chats shows one attachment at most")
    return body | {part["msgtype"]: part[part["msgtype"]] for part in attachments}
