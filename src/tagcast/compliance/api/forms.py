"""How people are named in requests: by identities of one kind, or by their numbers."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field
from pyroaring import BitMap

from tagcast import contacts
from tagcast.bitmaps import pack
from tagcast.kit.uow import Work

MOST = 10_000
"""People in one request."""


class PeopleIn(BaseModel):
    """Which kind of identity the values are: `openid`, `external_userid` (with their account), `unionid`, `phone` …"""

    model_config = ConfigDict(extra="forbid")

    identity: str
    account: int = 0


class ChosenIn(BaseModel):
    """People by the values of one kind of identity, or, without `identity`, by their contact numbers."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"identity": "unionid", "values": ["oU-1"], "why": "来电要求"}}
    )

    identity: str | None = None
    account: int = 0
    values: list[str] = Field(min_length=1, max_length=MOST)
    why: str = Field(min_length=1, max_length=100)

    def read(self, work: Work) -> tuple[BitMap, list[str]]:
        """The contacts, and the values that nobody has. Raises Invalid for a kind of identity that is none."""
        if self.identity is not None:
            return numbers_of(work, PeopleIn(identity=self.identity, account=self.account), self.values)
        known = contacts.everyone(work)
        asked = {value: int(value) if value.isdecimal() and len(value) <= 10 else -1 for value in self.values}
        there = {value for value, number in asked.items() if 0 <= number < 1 << 32 and number in known}
        return pack(asked[value] for value in there), [value for value in asked if value not in there]


class ChangedOut(BaseModel):
    """How many stand otherwise than before; `unknown` values belong to no contact."""

    changed: int
    unknown: list[str]


def numbers_of(work: Work, people: PeopleIn, values: Sequence[str]) -> tuple[BitMap, list[str]]:
    """The contacts of values, and the values that nobody has."""
    found = contacts.numbers_of(work, people.identity, values, people.account)
    unknown = [value for value, number in zip(values, found, strict=True) if number is None]
    return pack(number for number in found if number is not None), unknown
