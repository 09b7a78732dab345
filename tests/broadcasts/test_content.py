"""What a broadcast may say."""

import pytest

from tagcast.broadcasts import content
from tagcast.kit.errors import Invalid

TEXT = {"kind": "text", "text": "你好"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "fax"}, "broadcasts.unknown_kind"),
        ({"colour": "red"}, "broadcasts.unknown_field"),
        ({"title": 5}, "broadcasts.bad_field"),
        ({"data": {"a": 1}}, "broadcasts.bad_field"),
        ({"text": ""}, "broadcasts.missing_field"),
        ({"url": "javascript:alert(1)"}, "tracking.bad_destination"),
        ({"url": "https://user@shop.example.com/"}, "tracking.bad_destination"),
        ({"url": "//shop.example.com"}, "tracking.bad_destination"),
    ],
)
def test_what_cannot_be_sent_is_named(change: dict[str, object], code: str) -> None:
    with pytest.raises(Invalid) as caught:
        content.parse({**TEXT, **change})
    assert caught.value.code == code


def test_content_comes_back_as_it_was() -> None:
    said = {**TEXT, "url": "https://shop.example.com/a?b=1", "button": "去看看"}
    assert content.parse(said).to_json() == said


def test_nothing_that_is_typed_becomes_markup() -> None:
    (article,) = content.messages(
        content.parse({"kind": "article", "title": "t", "body": "<b>a</b>\n\n& b"}), "official"
    )
    assert article.body == "<p>&lt;b&gt;a&lt;/b&gt;</p><p>&amp; b</p>"
