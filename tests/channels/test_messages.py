"""Content in the platforms' words, and the limits that they set."""

import pytest

from tagcast.channels import (
    Article,
    File,
    Image,
    Message,
    MiniProgram,
    TemplateMessage,
    Text,
    Video,
    Voice,
    kinds_of,
    problems,
)
from tagcast.channels.messages import AccountKind
from tagcast.channels.official.bodies import customer_body, draft_body, mass_body, preview_body, subscription_body
from tagcast.channels.wecom.bodies import group_message_body, member_body

ARTICLE = Article(
    "标题", "摘要", "https://a.example/1", "https://p.example/1.jpg", body="<p>正文</p>", cover_media_id="M1"
)
CARD = MiniProgram("小程序", "wxapp1", "pages/a", "M2")


def found(content: list[Message], kind: AccountKind) -> list[tuple[str, int, int, str]]:
    return [(p.field, p.size, p.limit, p.unit) for p in problems(content, kind)]


def test_kinds_of_accounts() -> None:
    assert kinds_of("wecom") == ("text", "article", "mini_program", "image", "video", "file")
    assert kinds_of("official") == ("text", "article", "image", "voice", "video")
    assert kinds_of("service") == ("text", "article", "image", "voice", "video", "template")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ([Text("字" * 682)], "official"),
        ([ARTICLE], "service"),
        ([Text("字" * 1333), *[ARTICLE] * 9], "wecom"),
        ([CARD, Image("M")], "wecom"),
        ([TemplateMessage("T", {"thing1": "字" * 20, "first": "x" * 99})], "service"),
    ],
)
def test_content_within_the_limits_has_no_problem(content: list[Message], kind: AccountKind) -> None:
    assert problems(content, kind) == []


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        ([Text("字" * 683)], "official", [("text.content", 2049, 2048, "bytes")]),
        ([Text("字" * 1334)], "wecom", [("text.content", 4002, 4000, "bytes")]),
        ([Text(" ")], "wecom", [("text.content", 1, 4000, "bytes")]),
        ([Text("a"), Text("b")], "official", [("messages", 2, 1, "items")]),
        ([Text("a"), Text("b")], "wecom", [("text", 2, 1, "items")]),
        ([Image("M")] * 10, "wecom", [("attachments", 10, 9, "items")]),
        ([], "wecom", [("messages", 0, 1, "items")]),
        ([CARD], "official", [("mini_program.kind", 1, 0, "items")]),
        ([TemplateMessage("T")], "wecom", [("template.kind", 1, 0, "items")]),
        ([Article("字" * 33, body="x", cover_media_id="M")], "official", [("article.title", 33, 32, "chars")]),
        ([Article("t")], "wecom", [("article.url", 0, 2048, "bytes")]),
        (
            [Article("t")],
            "service",
            [("article.body", 0, 20000, "chars"), ("article.cover_media_id", 0, 128, "chars")],
        ),
        (
            [TemplateMessage("T", {"thing01": "字" * 21, "phrase2": "", "number3": "1"})],
            "service",
            [("template.data.thing01", 21, 20, "chars"), ("template.data.phrase2", 0, 5, "chars")],
        ),
    ],
)
def test_problems_name_field_size_and_limit(
    content: list[Message], kind: AccountKind, expected: list[tuple[str, int, int, str]]
) -> None:
    assert found(content, kind) == expected


def test_mass_bodies() -> None:
    assert mass_body(Text("a")) == {"msgtype": "text", "text": {"content": "a"}}
    assert mass_body(Image("M")) == {"msgtype": "image", "images": {"media_ids": ["M"]}}
    assert mass_body(Voice("V")) == {"msgtype": "voice", "voice": {"media_id": "V"}}
    assert mass_body(Video("F", "t")) == {"msgtype": "mpvideo", "mpvideo": {"media_id": "F", "title": "t"}}
    assert preview_body(Image("M")) == {"msgtype": "image", "image": {"media_id": "M"}}
    sent = Article("t", media_id="D")
    assert mass_body(sent) == {"msgtype": "mpnews", "mpnews": {"media_id": "D"}, "send_ignore_reprint": 0}
    assert preview_body(sent) == {"msgtype": "mpnews", "mpnews": {"media_id": "D"}}
    for unsendable in (ARTICLE, CARD, Image(url="https://a.example/1.png"), File("F"), TemplateMessage("T")):
        with pytest.raises(ValueError, match="cannot be mass-sent"):
            mass_body(unsendable)


def test_customer_service_bodies() -> None:
    assert customer_body(Text("a")) == {"msgtype": "text", "text": {"content": "a"}}
    assert customer_body(Image("M")) == {"msgtype": "image", "image": {"media_id": "M"}}
    assert customer_body(Voice("V")) == {"msgtype": "voice", "voice": {"media_id": "V"}}
    video = {"media_id": "F", "thumb_media_id": "C", "title": "t", "description": "d"}
    assert customer_body(Video("F", "t", "d", "C")) == {"msgtype": "video", "video": video}
    assert customer_body(ARTICLE) == {
        "msgtype": "news",
        "news": {
            "articles": [
                {
                    "title": "标题",
                    "description": "摘要",
                    "url": "https://a.example/1",
                    "picurl": "https://p.example/1.jpg",
                }
            ]
        },
    }
    published = {"msgtype": "mpnewsarticle", "mpnewsarticle": {"article_id": "A1"}}
    assert customer_body(Article("t", article_id="A1")) == published
    card = {"title": "小程序", "appid": "wxapp1", "pagepath": "pages/a", "thumb_media_id": "M2"}
    assert customer_body(CARD) == {"msgtype": "miniprogrampage", "miniprogrampage": card}
    for unsendable in (File("F"), TemplateMessage("T"), Article("t"), Video("F", "t"), Image(url="https://a.example")):
        with pytest.raises(ValueError, match="cannot be a customer service message"):
            customer_body(unsendable)


def test_a_subscription_message_leads_to_a_page_or_a_mini_program() -> None:
    data = {"thing1": {"value": "a"}}
    assert subscription_body(TemplateMessage("T", {"thing1": "a"}, "https://a.example/1")) == {
        "template_id": "T",
        "data": data,
        "page": "https://a.example/1",
    }
    assert subscription_body(TemplateMessage("T", {"thing1": "a"}, app_id="wxm", page="p/a")) == {
        "template_id": "T",
        "data": data,
        "miniprogram": {"appid": "wxm", "pagepath": "p/a"},
    }
    with pytest.raises(ValueError, match=r"template\.data\.thing1"):
        subscription_body(TemplateMessage("T", {"thing1": "字" * 21}))


def test_a_draft_leaves_out_what_is_empty() -> None:
    assert draft_body(ARTICLE) == {
        "article_type": "news",
        "title": "标题",
        "content": "<p>正文</p>",
        "thumb_media_id": "M1",
        "digest": "摘要",
        "content_source_url": "https://a.example/1",
    }


def test_group_messages_have_one_text_and_attachments_in_order() -> None:
    link = {"title": "标题", "picurl": "https://p.example/1.jpg", "desc": "摘要", "url": "https://a.example/1"}
    assert group_message_body([Image("M"), Text("你好"), ARTICLE, CARD]) == {
        "text": {"content": "你好"},
        "attachments": [
            {"msgtype": "image", "image": {"media_id": "M"}},
            {"msgtype": "link", "link": link},
            {
                "msgtype": "miniprogram",
                "miniprogram": {"title": "小程序", "pic_media_id": "M2", "appid": "wxapp1", "page": "pages/a"},
            },
        ],
    }
    assert group_message_body([Text("x")]) == {"text": {"content": "x"}}
    with pytest.raises(ValueError, match="cannot be attached"):
        group_message_body([TemplateMessage("T")])


def test_members_see_cards_as_news() -> None:
    assert member_body(CARD)["news"]["articles"] == [{"title": "小程序", "appid": "wxapp1", "pagepath": "pages/a"}]
    assert member_body(ARTICLE)["news"]["articles"][0]["picurl"] == "https://p.example/1.jpg"
    assert member_body(Text("a")) == {"msgtype": "text", "text": {"content": "a"}}
