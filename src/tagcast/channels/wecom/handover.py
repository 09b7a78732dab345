"""在职继承 and 离职继承: customers pass from one employee to another; the customer may refuse."""

from collections.abc import AsyncIterator, Sequence
from enum import IntEnum
from typing import Any

from tagcast.channels.calls import Answer, Caller
from tagcast.channels.errors import Effect
from tagcast.channels.wecom.limits import within
from tagcast.channels.wecom.pages import Page, pages


class HandoverStatus(IntEnum):
    """What became of one customer's hand-over."""

    DONE = 1
    WAITING = 2
    REFUSED = 3
    TAKER_FULL = 4
    NONE = 5


class Handed(Answer):
    """Whether a customer's hand-over was accepted: errcode 0, or one that the errcode table explains."""

    external_userid: str
    errcode: int = 0


class HandoverResult(Answer):
    """What became of a hand-over; `status` is normally a `HandoverStatus`, `takeover_time` in Unix seconds."""

    external_userid: str
    status: int
    takeover_time: int = 0


class FailedChat(Answer):
    """A group chat that was not handed over, and why."""

    chat_id: str
    errcode: int = 0


class _Chats(Answer):
    failed_chat_list: tuple[FailedChat, ...] = ()


class _Handed(Answer):
    customer: tuple[Handed, ...]


class _Results(Page):
    customer: tuple[HandoverResult, ...] = ()


class Handover:
    """客户继承. An employee in service hands a customer over twice at most, and not within 90 days (40128, 40129)."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def transfer(
        self, giver: str, taker: str, external_userids: Sequence[str], *, words: str = ""
    ) -> tuple[Handed, ...]:
        """Hand 1 to 100 customers over from an employee in service; `words` is what they are told.

        Each is answered for itself. Not idempotent: it counts towards the customer's two. ValueError otherwise.
        """
        body = _body(giver, taker, external_userids) | ({"transfer_success_msg": words} if words else {})
        return (
            await self._caller.post("/cgi-bin/externalcontact/transfer_customer", body, _Handed, effect=Effect.SEND)
        ).customer

    async def results(self, giver: str, taker: str) -> AsyncIterator[tuple[HandoverResult, ...]]:
        """Pages of what became of the customers handed over between two employees in service."""
        body = {"handover_userid": giver, "takeover_userid": taker}
        async for page in pages(self._caller, "/cgi-bin/externalcontact/transfer_result", body, _Results):
            yield page.customer

    async def transfer_resigned(self, giver: str, taker: str, external_userids: Sequence[str]) -> tuple[Handed, ...]:
        """Hand 1 to 100 customers over from an employee who has left."""
        body = _body(giver, taker, external_userids)
        return (
            await self._caller.post(
                "/cgi-bin/externalcontact/resigned/transfer_customer", body, _Handed, effect=Effect.SEND
            )
        ).customer

    async def results_resigned(self, giver: str, taker: str) -> AsyncIterator[tuple[HandoverResult, ...]]:
        """As `results`, for an employee who has left."""
        body = {"handover_userid": giver, "takeover_userid": taker}
        async for page in pages(self._caller, "/cgi-bin/externalcontact/resigned/transfer_result", body, _Results):
            yield page.customer

    async def transfer_chats(self, chat_ids: Sequence[str], taker: str) -> tuple[FailedChat, ...]:
        """Give group chats of employees in service another owner; those that failed. 300 a day and owner.

        Raises ValueError for none or more than 100. The names of both fields are UNCONFIRMED.
        """
        body = _chats(chat_ids, taker)
        return (
            await self._caller.post(
                "/cgi-bin/externalcontact/groupchat/onjob_transfer", body, _Chats, effect=Effect.SEND
            )
        ).failed_chat_list

    async def transfer_chats_resigned(self, chat_ids: Sequence[str], taker: str) -> tuple[FailedChat, ...]:
        """As `transfer_chats`, for owners who have left."""
        body = _chats(chat_ids, taker)
        return (
            await self._caller.post("/cgi-bin/externalcontact/groupchat/transfer", body, _Chats, effect=Effect.SEND)
        ).failed_chat_list


def _chats(chat_ids: Sequence[str], taker: str) -> dict[str, Any]:
    within("handover_customers", chat_ids)
    return {"chat_id_list": list(chat_ids), "new_owner": taker}


def _body(giver: str, taker: str, external_userids: Sequence[str]) -> dict[str, Any]:
    within("handover_customers", external_userids)
    return {"handover_userid": giver, "takeover_userid": taker, "external_userid": list(external_userids)}
