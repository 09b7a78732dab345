"""「联系客户统计」: how employees and customers talk, by day."""

from collections.abc import Sequence
from typing import Any

from tagcast.channels.calls import Answer, Caller
from tagcast.channels.wecom.limits import within


class Behaviour(Answer):
    """One day. `stat_time` is the Unix second at which it began, `avg_reply_time` in minutes, `reply_percentage` 0-100.

    `negative_feedback_cnt` counts customers who deleted or blocked the employee.
    """

    stat_time: int
    chat_cnt: int = 0
    message_cnt: int = 0
    reply_percentage: float = 0.0
    avg_reply_time: float = 0.0
    negative_feedback_cnt: int = 0
    new_apply_cnt: int = 0
    new_contact_cnt: int = 0


class _Behaviours(Answer):
    behavior_data: tuple[Behaviour, ...]


class Statistics:
    """联系客户统计. Figures of group chats are in `groups`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def behaviour(
        self, start: int, end: int, *, userids: Sequence[str] = (), departments: Sequence[int] = ()
    ) -> tuple[Behaviour, ...]:
        """Days between two Unix seconds at most 30 days apart, of the last 180 days.

        Several employees or departments (together at most 100, UNCONFIRMED) come as their sum. ValueError for none.
        """
        within("statistics_span", end - start)
        within("statistics_asked", [*userids, *departments])
        body: dict[str, Any] = {"start_time": start, "end_time": end}
        body |= {name: list(ids) for name, ids in (("userid", userids), ("partyid", departments)) if ids}
        return (
            await self._caller.post("/cgi-bin/externalcontact/get_user_behavior_data", body, _Behaviours)
        ).behavior_data
