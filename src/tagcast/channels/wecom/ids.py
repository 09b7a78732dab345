"""One person under several ids. A self-built app needs little of it: `customers.get` answers the unionid already."""

from collections.abc import Sequence
from typing import Any, Literal

from tagcast.channels.calls import Answer, Caller

Subject = Literal["corp", "provider"]
_SUBJECTS: dict[Subject, int] = {"corp": 0, "provider": 1}


class Known(Answer):
    """Whom a unionid belongs to: a customer, or somebody who may become one and has a pending id till then."""

    external_userid: str = ""
    pending_id: str = ""


class PendingId(Answer):
    """A customer's pending id, good for about 90 days (UNCONFIRMED)."""

    external_userid: str
    pending_id: str


class _OpenId(Answer):
    openid: str


class _ExternalId(Answer):
    external_userid: str


class _Pending(Answer):
    result: tuple[PendingId, ...] = ()


class Ids:
    """Conversions between ids (ID 转换)."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def openid_of_member(self, userid: str) -> str:
        """A member's openid; 43004 (`member_not_ready`) when the member never linked WeChat."""
        return (await self._caller.post("/cgi-bin/user/convert_to_openid", {"userid": userid}, _OpenId)).openid

    async def openid_of_customer(self, external_userid: str) -> str:
        """A customer's openid."""
        body = {"external_userid": external_userid}
        return (await self._caller.post("/cgi-bin/externalcontact/convert_to_openid", body, _OpenId)).openid

    async def customer_of(self, unionid: str, openid: str = "") -> str:
        """The customer with a unionid: the corp is verified, owns the unionid's account, and a visible employee has the
        customer as a contact; otherwise `no_unionid`."""
        body = {"unionid": unionid} | ({"openid": openid} if openid else {})
        return (
            await self._caller.post("/cgi-bin/externalcontact/unionid_to_external_userid", body, _ExternalId)
        ).external_userid

    async def known(self, unionid: str, openid: str, *, subject: Subject = "corp") -> Known:
        """The customer, or a pending id, for a unionid and an openid of the same app, whose owner is `subject`."""
        body = {"unionid": unionid, "openid": openid, "subject_type": _SUBJECTS[subject]}
        return await self._caller.post("/cgi-bin/idconvert/unionid_to_external_userid", body, Known)

    async def pending(self, external_userids: Sequence[str], *, chat_id: str = "") -> tuple[PendingId, ...]:
        """Pending ids of customers, in a group chat or at large (UNCONFIRMED shape). ValueError for none."""
        body = _of(external_userids) | ({"chat_id": chat_id} if chat_id else {})
        return (
            await self._caller.post("/cgi-bin/idconvert/batch/external_userid_to_pending_id", body, _Pending)
        ).result


def _of(external_userids: Sequence[str]) -> dict[str, Any]:
    if not external_userids:
        raise ValueError("a conversion needs customers")
    return {"external_userid": list(external_userids)}
