"""Expressions as the HTTP API takes and gives them."""

from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tagcast.audiences import language, rules
from tagcast.audiences.rules import Expression
from tagcast.kit.errors import Invalid

Number = Annotated[int, Field(ge=1, le=0xFFFFFFFF)]
Limit = Annotated[int, Field(ge=1, le=rules.limits().preview)]


class ExpressionIn(BaseModel):
    """An expression, as text or as JSON."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(None, examples=['tag("会员/金卡") and region = "华东"'])
    json_: dict[str, Any] | None = Field(None, alias="json", examples=[{"tag": "会员/金卡"}])

    def read(self) -> Expression:
        """The expression. Raises Invalid, Refused."""
        if (self.text is None) == (self.json_ is None):
            raise Invalid("audiences.one_form")
        return _parsed(self.text) if self.text is not None else rules.from_json(self.json_)


@lru_cache(maxsize=512)
def _parsed(text: str) -> Expression:
    """The text's tree, which nothing changes; a console asks the same again and again."""
    return language.parse(text)


class ExpressionOut(BaseModel):
    """An expression in both forms."""

    model_config = ConfigDict(serialize_by_alias=True, populate_by_name=True)

    text: str
    json_: dict[str, Any] = Field(alias="json")


def forms(expression: Expression) -> dict[str, Any]:
    """The fields of ExpressionOut."""
    return {"text": language.to_text(expression), "json_": rules.to_json(expression)}
