"""Messages to members of the corp: the only way to show a broadcast to testers before it goes out."""

from collections.abc import Sequence

from tagcast.channels.calls import Answer, Caller, Done
from tagcast.channels.errors import Effect
from tagcast.channels.messages import Message
from tagcast.channels.wecom.bodies import Markdown, TextCard, member_body
from tagcast.channels.wecom.limits import fields_fit, within


class Shown(Answer):
    """A message to members; those named in `invalid` or `unlicensed` did not get it, although the call succeeded."""

    msgid: str = ""
    invaliduser: str = ""
    unlicenseduser: str = ""

    @property
    def invalid(self) -> tuple[str, ...]:
        """userids that the app cannot reach."""
        return tuple(name for name in self.invaliduser.split("|") if name)

    @property
    def unlicensed(self) -> tuple[str, ...]:
        """userids without the licence that this app needs."""
        return tuple(name for name in self.unlicenseduser.split("|") if name)


class Messages:
    """应用消息. Above 30 a minute or 1,000 an hour to one member the platform drops messages without a word."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def send(self, userids: Sequence[str], message: Message | Markdown | TextCard, *, agent_id: int) -> Shown:
        """Show a message to 1 to 1,000 members; the same content within 30 minutes is dropped.

        Raises ValueError for nobody, too many, `@all`, a kind that members cannot be shown, or a field too long.
        """
        within("members", userids)
        if any("|" in userid or userid == "@all" for userid in userids):
            raise ValueError("members are named one by one")
        fields_fit("member", message)
        body = {"touser": "|".join(userids), "agentid": agent_id, "enable_duplicate_check": 1} | member_body(message)
        return await self._caller.post("/cgi-bin/message/send", body, Shown, effect=Effect.KEYED)

    async def recall(self, msgid: str) -> None:
        """Take a message back (24 hours, UNCONFIRMED)."""
        await self._caller.post("/cgi-bin/message/recall", {"msgid": msgid}, Done)
