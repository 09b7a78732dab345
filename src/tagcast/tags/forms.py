"""What requests and answers about tags look like."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tagcast.tags import rules

Number = Annotated[int, Field(ge=1, le=0xFFFFFFFF)]
RowStatus = Literal["changed", "unchanged", "unknown"]


class Strict(BaseModel):
    """A request in which nothing unknown may stand."""

    model_config = ConfigDict(extra="forbid")


class TagIn(Strict):
    """A tag to make."""

    path: str = Field(description="Names from the root, separated by /.", examples=["会员/金卡/一星"])
    account: int | None = Field(default=None, description="The account it belongs to; none: the workspace.")
    parent: int | None = Field(default=None, description="A tag that `path` starts below.")
    parents: bool = Field(default=False, description="Make missing tags on the way.")


class NameIn(Strict):
    """A new name."""

    name: str


class ParentIn(Strict):
    """A new place; none: a root."""

    parent: int | None


class TagOut(BaseModel):
    """A tag."""

    id: int
    account: int | None
    parent: int | None
    name: str
    path: str
    depth: int
    created_at: datetime
    created_by: str
    archived: bool
    lifetime_days: int | None
    exclusive: rules.Exclusive | None
    own: int | None = Field(default=None, description="Contacts that hold the tag itself; in the tree only.")
    below: int | None = Field(default=None, description="Contacts that hold it or a tag below it; in the tree only.")


class Searched(Strict):
    """Which changes of a history: `why` is a part of the reason; `before` (a seq) continues a page."""

    who: str | None = None
    why: str | None = None
    op: Literal["add", "remove"] | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    before: int | None = None
    limit: int = Field(default=100, ge=1, le=1000)


class DeclareIn(Strict):
    """What holds for a tag from now on; what is left out stays, null is none."""

    lifetime_days: int | None = None
    exclusive: rules.Exclusive | None = None


class DiffOut(BaseModel):
    """Holders at two moments; who came and who left, with the first 1,000 of each."""

    before: int
    after: int
    came: int
    left: int
    came_first: list[int]
    left_first: list[int]


class TreeOut(BaseModel):
    """Tags, depth first."""

    tags: list[TagOut]


class IdentityIn(Strict):
    """Under what a contact is known."""

    kind: str = Field(examples=["customer_id"])
    value: str
    account: int = 0


class MembersIn(Strict):
    """Whom a change concerns, by contact number and by identity, and why."""

    numbers: list[Number] = Field(default_factory=list)
    identities: list[IdentityIn] = Field(default_factory=list)
    why: str = Field(examples=["bought a gold card"])


class AssignIn(MembersIn):
    """Whom to tag, why, and until when."""

    until: datetime | None = Field(default=None, description="When the tag ends by itself; with a time zone.")
    forever: bool = Field(default=False, description="Not for the tag's own lifetime only.")


class RowOut(BaseModel):
    """What became of one row; rows count from 0, numbers first, then identities."""

    row: int
    number: int | None
    status: RowStatus


class ChangedOut(BaseModel):
    """What a change did. `seq` names it for undo; none: nothing changed."""

    seq: int | None
    changed: int
    rows: list[RowOut]


class ChangeOut(BaseModel):
    """One recorded change."""

    seq: int
    tag: int
    op: Literal["add", "remove"]
    size: int
    who: str
    why: str
    at: datetime
    until: datetime | None
    undoes: int | None


class HistoryOut(BaseModel):
    """Changes, newest first."""

    changes: list[ChangeOut]


class UndoIn(Strict):
    """The change to take back, and why."""

    seq: int
    why: str = "undo"


class UndoneOut(BaseModel):
    """The change that an undo made; none: nothing of the change stood any more."""

    change: ChangeOut | None


class CountOut(BaseModel):
    """How many contacts."""

    count: int
