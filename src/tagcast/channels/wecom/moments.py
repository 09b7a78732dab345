"""客户朋友圈: Moments that employees publish to their customers; as with mass messages, each employee confirms."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from tagcast.channels.calls import Answer, Caller, Done
from tagcast.channels.errors import Effect
from tagcast.channels.messages import Message
from tagcast.channels.wecom.bodies import moment_body
from tagcast.channels.wecom.limits import within
from tagcast.channels.wecom.mass import MADE_BY, MadeBy, MassText
from tagcast.channels.wecom.pages import Page, pages

DONE = 3
"""Status of a job that has ended; 1: started, 2: running."""


class InvalidSenders(Answer):
    """Employees and departments that cannot publish."""

    user_list: tuple[str, ...] = ()
    department_list: tuple[int, ...] = ()


class InvalidCustomers(Answer):
    """Tags by which nobody can be chosen."""

    tag_list: tuple[str, ...] = ()


class MomentResult(Answer):
    """What became of a job: its own errcode, and the Moment that it made."""

    errcode: int = 0
    errmsg: str = ""
    moment_id: str = ""
    invalid_sender_list: InvalidSenders = InvalidSenders()
    invalid_external_contact_list: InvalidCustomers = InvalidCustomers()


class MomentJob(Answer):
    """A job that makes a Moment. `result` counts once it is `done`; its errcode, if any, is in the errcode table."""

    status: int
    type: str = ""
    result: MomentResult = MomentResult()

    @property
    def done(self) -> bool:
        """Whether the job has ended, well or not."""
        return self.status == DONE


class Moment(Answer):
    """A Moment in the record. `create_type` 0: made by an app, 1: an employee; `visible_type` 0: for some, 1: all."""

    moment_id: str
    creator: str = ""
    create_time: int
    create_type: int = 0
    visible_type: int = 0
    text: MassText | None = None


class MomentTask(Answer):
    """An employee's part of a Moment; `publish_status` 0: not published, 1: published."""

    userid: str
    publish_status: int


class MomentCustomer(Answer):
    """A customer who may see an employee's Moment, or does; `userid` only where the platform repeats it."""

    external_userid: str
    userid: str = ""


class Reaction(Answer):
    """A comment or a like, of a customer or an employee, at a Unix second."""

    external_userid: str = ""
    userid: str = ""
    create_time: int = 0


class Reactions(Answer):
    """Comments and likes of one employee's Moment."""

    comment_list: tuple[Reaction, ...] = ()
    like_list: tuple[Reaction, ...] = ()


class _Job(Answer):
    jobid: str


class _Moments(Page):
    moment_list: tuple[Moment, ...] = ()


class _Tasks(Page):
    task_list: tuple[MomentTask, ...] = ()


class _Customers(Page):
    customer_list: tuple[MomentCustomer, ...] = ()


class Moments:
    """客户朋友圈. 10 jobs a minute and 100,000 Moments a month; how many one customer is shown is UNCONFIRMED."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(
        self,
        content: Sequence[Message],
        *,
        employees: Sequence[str] = (),
        departments: Sequence[int] = (),
        tags: Sequence[str] = (),
        everybody: bool = False,
    ) -> str:
        """Start a job that makes a Moment; gives its jobid, good for 24 hours. There is no idempotency key.

        Published by `employees` and those of `departments` (none: all whom the app sees), to their customers with any
        of `tags` (corp tags only). Without tags it is for all customers, so `everybody` must say so. Content: one text
        and up to nine images, or one video, or one link (`Article` with `cover_media_id`); media from
        `media.upload_attachment`. ValueError for anything else, or tags together with `everybody`.
        """
        if bool(tags) is everybody:
            raise ValueError("a Moment is for customers with tags, or for everybody")
        within("moment_employees", employees)
        body = moment_body(content)
        senders = {"user_list": list(employees), "department_list": list(departments)}
        senders = {name: ids for name, ids in senders.items() if ids}
        visible: dict[str, Any] = {"sender_list": senders} if senders else {}
        if tags:
            visible["external_contact_list"] = {"tag_list": list(dict.fromkeys(tags))}
        if visible:
            body["visible_range"] = visible
        return (
            await self._caller.post("/cgi-bin/externalcontact/add_moment_task", body, _Job, effect=Effect.SEND)
        ).jobid

    async def result(self, jobid: str) -> MomentJob:
        """How far a job is, and what it made."""
        query = {"jobid": jobid}
        return await self._caller.get("/cgi-bin/externalcontact/get_moment_task_result", MomentJob, query=query)

    async def cancel(self, moment_id: str) -> None:
        """Stop what has not been published; what was published stays."""
        await self._caller.post("/cgi-bin/externalcontact/cancel_moment_task", {"moment_id": moment_id}, Done)

    async def list(
        self, start: int, end: int, *, creator: str = "", made_by: MadeBy = "any"
    ) -> AsyncIterator[tuple[Moment, ...]]:
        """Pages of the record between two Unix seconds at most 30 days apart (otherwise ValueError); deleted ones are
        missing."""
        within("moment_record_span", end - start)
        body: dict[str, Any] = {"start_time": start, "end_time": end, "filter_type": MADE_BY[made_by], "limit": 20}
        body |= {"creator": creator} if creator else {}
        async for page in pages(self._caller, "/cgi-bin/externalcontact/get_moment_list", body, _Moments):
            yield page.moment_list

    async def tasks(self, moment_id: str) -> AsyncIterator[tuple[MomentTask, ...]]:
        """Pages of the employees' parts of a Moment."""
        body = {"moment_id": moment_id, "limit": 1000}
        async for page in pages(self._caller, "/cgi-bin/externalcontact/get_moment_task", body, _Tasks):
            yield page.task_list

    async def customers(self, moment_id: str, userid: str) -> AsyncIterator[tuple[MomentCustomer, ...]]:
        """Pages of the customers whom one employee's Moment is meant for."""
        body = {"moment_id": moment_id, "userid": userid, "limit": 1000}
        async for page in pages(self._caller, "/cgi-bin/externalcontact/get_moment_customer_list", body, _Customers):
            yield page.customer_list

    async def delivered(self, moment_id: str, userid: str) -> AsyncIterator[tuple[MomentCustomer, ...]]:
        """Pages of the customers who can see one employee's published Moment."""
        body = {"moment_id": moment_id, "userid": userid, "limit": 5000}
        async for page in pages(self._caller, "/cgi-bin/externalcontact/get_moment_send_result", body, _Customers):
            yield page.customer_list

    async def comments(self, moment_id: str, userid: str) -> Reactions:
        """Comments and likes of one employee's Moment."""
        body = {"moment_id": moment_id, "userid": userid}
        return await self._caller.post("/cgi-bin/externalcontact/get_moment_comments", body, Reactions)
