"""What people really got: personal texts on every route, by the sandbox's own record of each phone."""

import re
from collections.abc import Iterable
from typing import Any

import pytest
from pyroaring import BitMap

from tagcast import audiences, broadcasts, compliance, contacts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import store
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.errors import Conflict, Invalid, Refused
from tests.broadcasts.conftest import ROUTES, Make
from tests.flows.harness import ID_OF, World

GREETING = "{{nick|会员}}您好{{#if 金卡会员}}，金卡专享{{else}}，{{level|普通}}{{/if}}"
LEVELS = ("金卡", "银卡")
JPG = b"\xff\xd8\xff\xe0" + b"0" * 200
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 200


def furnish(world: World, kind: str, *, nicks: Iterable[str] = ("小王", "小李")) -> list[int]:
    """Levels for two of three, nicknames for every second; returns all who follow."""
    account = world.accounts[kind]
    with world.runtime.work(1, "test") as work:
        who = list(work.bitmaps.read(f"following:{account}"))
        contacts.declare_attribute(work, "level", "choice", purpose="greeting", label_zh="等级")
        contacts.declare_attribute(work, "nick", "text", purpose="greeting", label_zh="称呼")
        contacts.declare_attribute(work, "points", "number", purpose="greeting", scale=2)
        for at, level in enumerate(LEVELS):
            contacts.set_choices(work, "level", {level: BitMap(who[at::3])}, why="test")
        ids = contacts.identities_of(work, who, ID_OF[kind], account)
        named = list(nicks)
        contacts.ensure(
            work,
            [
                PersonIn({Identity(ID_OF[kind], account): ids[number]}, {"nick": named[at % len(named)]})
                for at, number in enumerate(who[::2])
            ],
        )
        audiences.create(work, "金卡会员", audiences.parse('level is "金卡"'))
    return who


def expected(who: list[int], at: int, *, nicks: tuple[str, ...] = ("小王", "小李")) -> str:
    """What the greeting says to one of them."""
    nick = nicks[at // 2 % len(nicks)] if at % 2 == 0 else "会员"
    tail = ("，金卡专享", "，银卡", "，普通")[at % 3]
    return f"{nick}您好{tail}"


def shown(world: World, kind: str, number: int) -> dict[str, Any]:
    """The one message on a person's phone."""
    (ident,) = world.ids(kind, [number]).values()
    (message,) = world.sandbox.get(f"/sandbox/people/phone?person={ident}")["messages"]
    return dict(message)


def read(world: World, kind: str, number: int) -> str:
    return "\n".join(shown(world, kind, number)["lines"])


def said(route: str, world: World) -> dict[str, Any]:
    match route:
        case "template":
            data = {"name1": "{{nick|会员}}", "thing2": "{{等级|普通}}卡", "thing3": GREETING}
            return {"kind": "template", "template_id": world.template_id(), "data": data}
        case "webhook":
            return {
                "kind": "article",
                "title": GREETING,
                "body": "{{称呼|会员}} <b>\n第二段",
                "url": "https://a.example/",
            }
        case _:
            return {"kind": "text", "text": GREETING, "url": "https://shop.example.com/day"}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("route", ["template", "list", "tasks", "webhook"])
def test_everybody_gets_the_text_that_is_his(route: str, database: str, make: Make) -> None:
    world = make(route, size=90, database=database)
    kind = ROUTES[route][0]
    who = furnish(world, kind)
    broadcast = world.send(kind, said(route, world))
    world.work_until(broadcast)
    verdict = world.judge(kind, broadcast)
    assert (verdict["lost"], verdict["duplicated"], verdict["unexpected"]) == (0, 0, 0)
    outcomes = world.outcomes(kind)
    ids = world.ids(kind, who)
    looked = 0
    for at, number in enumerate(who):
        if outcomes.get(ids[number]) != "arrived":
            continue
        looked += 1
        assert expected(who, at) in read(world, kind, number), (at, number)
    assert looked > 20


def test_one_text_is_one_call_and_its_people_are_exactly_its_members(make: Make) -> None:
    world = make("list", size=90)
    who = furnish(world, "service")
    broadcast = world.send("service", said("list", world))
    with world.runtime.read(1, "test") as work:
        chunks = store.chunks_of(work, broadcast)
        found = store.get(work, broadcast)
        texts = {chunk.no: contents.tell(work, found, chunk, "https://t.example").text for chunk in chunks}
        rendered = {number: contents.render(work, found, number).text for number in who}
        raw = work.connection.exec_driver_sql("SELECT said, fill FROM broadcast_chunk").all()
    members = [number for chunk in chunks for number in chunk.recipients.tolist()]
    assert sorted(members) == sorted(who)
    assert len(members) == len(set(members))
    assert len(set(texts.values())) == len(chunks) == 9
    for chunk in chunks:
        assert {rendered[number] for number in chunk.recipients.tolist()} == {texts[chunk.no]}
    # Values of people are sealed at rest.
    assert all("小" not in str(row[0]) and "小王".encode() not in bytes(row[1]) for row in raw)


def test_what_was_planned_is_said_whatever_moves_after(make: Make) -> None:
    world = make("list", size=60)
    who = furnish(world, "service")
    with world.runtime.work(1, "test") as work:
        draft = broadcasts.draft(
            work, name="x", account=world.accounts["service"], audience="all", content=said("list", world)
        )
        plan = broadcasts.plan(work, draft.id)
        contacts.set_choices(work, "level", {"金卡": BitMap(who[1:2])}, why="test")
    with world.runtime.work(1, "test") as work, pytest.raises(Conflict, match="does not hold"):
        broadcasts.send(work, plan.hash)
    with world.runtime.work(1, "test") as work:
        broadcasts.send(work, broadcasts.plan(work, draft.id).hash)
        contacts.set_choices(work, "level", {"金卡": BitMap(who)}, why="test")
    world.work_until(draft.id)
    outcomes, ids = world.outcomes("service"), world.ids("service", who)
    silver = [n for at, n in enumerate(who) if at % 3 == 1 and at > 1 and outcomes.get(ids[n]) == "arrived"]
    assert silver
    assert all("银卡" in read(world, "service", number) for number in silver)


def draft_of(world: World, kind: str, content: dict[str, Any], **more: Any) -> int:
    with world.runtime.work(1, "test") as work:
        return broadcasts.draft(
            work, name="x", account=world.accounts[kind], audience="all", content=content, **more
        ).id


def plan_of(world: World, broadcast: int) -> broadcasts.SavedPlan:
    with world.runtime.work(1, "test") as work:
        return broadcasts.plan(work, broadcast)


BAD: list[tuple[str, str]] = [
    ("{{nobody|x}}", "broadcasts.unknown_placeholder"),
    ("{{#if 没有的人群}}a{{/if}}", "broadcasts.bad_condition"),
    ("{{#if 'tag('}}a{{/if}}", "broadcasts.bad_condition"),
    ("{{员工|小助手}}", "broadcasts.no_sender"),
    ("{{7*7}}", "broadcasts.bad_placeholder"),
]


@pytest.mark.parametrize(("text", "code"), BAD)
def test_what_cannot_be_said_is_refused_as_a_draft(text: str, code: str, make: Make) -> None:
    world = make("list", size=10)
    furnish(world, "service")
    with pytest.raises(Invalid) as refused:
        draft_of(world, "service", {"kind": "text", "text": text})
    assert refused.value.code == code
    assert refused.value.text("zh")


def test_a_value_that_is_missing_needs_a_default(make: Make) -> None:
    world = make("list", size=60)
    who = furnish(world, "service")
    with pytest.raises(Refused) as refused:
        plan_of(world, draft_of(world, "service", {"kind": "text", "text": "{{level}}"}))
    assert refused.value.code == "broadcasts.no_default"
    assert refused.value.params["count"] == len(who[2::3])
    assert refused.value.params["contact"] in who[2::3]
    # Whoever is not reached by the placeholder need not have the value.
    inside = {"kind": "text", "text": "{{#if 'level known'}}{{level}}{{else}}您{{/if}}好"}
    assert plan_of(world, draft_of(world, "service", inside)).hash


def test_the_longest_text_of_the_audience_is_found_to_the_byte(make: Make) -> None:
    world = make("tasks", size=60)
    who = furnish(world, "wecom", nicks=("短", "一个很长很长的名字"))
    room = 4000 - len("一个很长很长的名字".encode())
    fits = {"kind": "text", "text": "a" * room + "{{nick|无}}"}
    assert plan_of(world, draft_of(world, "wecom", fits)).hash
    with pytest.raises(Invalid) as refused:
        plan_of(world, draft_of(world, "wecom", {**fits, "text": "a" + fits["text"]}))
    assert refused.value.code == "broadcasts.too_long_for"
    assert (refused.value.params["size"], refused.value.params["limit"]) == (4001, 4000)
    assert refused.value.params["contact"] in who[2::4]
    with pytest.raises(Invalid) as empty:
        plan_of(world, draft_of(world, "wecom", {"kind": "text", "text": "{{level|}} "}))
    assert empty.value.code == "broadcasts.empty_for"
    assert empty.value.params["contact"] in who[2::3]


def test_too_many_texts_are_refused_with_the_numbers(make: Make) -> None:
    world = make("tasks", size=200)
    who = furnish(world, "wecom")
    with world.runtime.work(1, "test") as work:
        contacts.set_values(work, "points", {number: f"{number}.50" for number in who}, why="test")
        work.bitmaps.add(work.bitmaps.keys(f"employee:{world.accounts['wecom']}:")[0], BitMap(who), why="test")
    with pytest.raises(Refused) as refused:
        plan_of(world, draft_of(world, "wecom", {"kind": "text", "text": "您有 {{points}} 分"}))
    assert refused.value.code == "broadcasts.many_tasks"
    assert refused.value.params["texts"] == len(who)
    assert str(len(who)) in refused.value.text("en")


def test_a_list_takes_no_single_person(make: Make) -> None:
    world = make("list", size=30)
    who = furnish(world, "service")
    with world.runtime.work(1, "test") as work:
        contacts.set_choices(work, "level", {"黑金": BitMap(who[:1])}, why="test")
    with pytest.raises(Refused) as refused:
        plan_of(world, draft_of(world, "service", {"kind": "text", "text": "{{level|普通}}"}))
    assert (refused.value.code, refused.value.params["lonely"]) == ("broadcasts.lonely_texts", 1)


def test_a_tag_is_sent_to_once_a_day(make: Make) -> None:
    world = make("tag", size=30)
    furnish(world, "official")
    article = {"kind": "article", "title": "{{level|普通}}会员日", "body": "今天"}
    with pytest.raises(Refused) as refused:
        plan_of(world, draft_of(world, "official", article))
    assert refused.value.code == "broadcasts.many_sends"


def test_employees_sign_with_their_names(make: Make) -> None:
    world = make("tasks", size=40)
    furnish(world, "wecom")
    prefix = f"employee:{world.accounts['wecom']}:"
    with world.runtime.read(1, "test") as work:
        names = {key.removeprefix(prefix): f"顾问{at}" for at, key in enumerate(work.bitmaps.keys(prefix))}
    text = {"kind": "text", "text": "您好，我是{{员工}}"}
    with pytest.raises(Refused) as nameless:
        plan_of(world, draft_of(world, "wecom", text, settings={"employees": dict([*names.items()][1:])}))
    assert nameless.value.code == "broadcasts.no_default"
    broadcast = draft_of(world, "wecom", text, settings={"employees": names})
    plan = plan_of(world, broadcast)
    with world.runtime.work(1, "test") as work:
        broadcasts.send(work, plan.hash)
        found = store.get(work, broadcast)
        for chunk in store.chunks_of(work, broadcast):
            assert contents.tell(work, found, chunk, "").text == f"您好，我是{names[chunk.sender]}"


def test_whoever_lost_a_needed_value_is_not_called(make: Make) -> None:
    world = make("template", size=30)
    who = furnish(world, "service")
    data = {"name1": "会员", "thing2": "{{points}}", "thing3": "b"}
    with world.runtime.work(1, "test") as work:
        contacts.set_values(work, "points", dict.fromkeys(who, "7.50"), why="test")
    broadcast = world.send("service", {"kind": "template", "template_id": world.template_id(), "data": data})
    with world.runtime.work(1, "test") as work:
        gone = BitMap(who[:4])
        for key in work.bitmaps.keys("attribute:points#"):
            work.bitmaps.remove(key, gone, why="test")
    world.work_until(broadcast)
    ids = world.ids("service", who)
    assert not {ids[number] for number in who[:4]} & set(world.outcomes("service"))
    with world.runtime.read(1, "test") as work:
        (failure,) = [one for one in broadcasts.failures(work, broadcast) if one.reason == "no_value"]
    assert failure.count == 4
    assert "7.50" in read(world, "service", next(n for n in who[4:] if world.outcomes("service")[ids[n]] == "arrived"))


def test_links_in_texts_have_their_own_numbers(make: Make) -> None:
    world = make("webhook", size=20)
    who = furnish(world, "custom")
    text = '{{nick|您}}看 {{link "https://a.example/1"}} 或 {{link "https://a.example/2"}}'
    broadcast = world.send("custom", {"kind": "text", "text": text})
    with world.runtime.read(1, "test") as work:
        found, (chunk,) = store.get(work, broadcast), store.chunks_of(work, broadcast)
        told = contents.tell_each(work, found, chunk, "https://t.example")
    tokens = [re.findall(r"https://t\.example/k/([\w-]{36})", text) for text in told.texts["text"]]
    assert all(len(pair) == 2 for pair in tokens)
    assert len({token for pair in tokens for token in pair}) == 2 * len(who)
    world.work_until(broadcast)
    assert "小王看 · 或 ·" in read(world, "custom", who[0])


def test_files_and_cards_arrive_beside_the_text(make: Make) -> None:
    world = make("tasks", size=20)
    who = furnish(world, "wecom")
    with world.runtime.work(1, "test") as work:
        picture = broadcasts.media.add(work, "a.jpg", JPG)
        again = broadcasts.media.add(work, "b.jpg", JPG)
        paper = broadcasts.media.add(work, "说明.pdf", b"%PDF-1.7 " + b"0" * 50)
    assert again == picture
    attachments = [
        {"kind": "image", "media": picture.reference},
        {"kind": "file", "media": paper.reference},
        {
            "kind": "article",
            "title": "{{level|普通}}会员日",
            "url": "https://a.example/x",
            "picture": picture.reference,
        },
        {
            "kind": "mini_program",
            "title": "店",
            "app_id": "wx0123456789abcdef",
            "page": "p/i",
            "cover": picture.reference,
        },
    ]
    content = {"kind": "text", "text": GREETING, "attachments": attachments}
    broadcast = world.send("wecom", content)
    world.work_until(broadcast)
    outcomes, ids = world.outcomes("wecom"), world.ids("wecom", who)
    number = next(one for one in who if outcomes.get(ids[one]) == "arrived")
    assert len(shown(world, "wecom", number)["attachments"]) == 4
    # Each use is uploaded once, by whoever of those sending side by side comes first; or by each of them.
    assert world.sandbox.calls("/cgi-bin/media/upload") >= 2
    with pytest.raises(Invalid) as many:
        draft_of(world, "wecom", {**content, "attachments": attachments[:1] * 10})
    assert many.value.code == "broadcasts.too_long"
    with world.runtime.work(1, "test") as work:
        assert broadcasts.media.remove(work, picture.id) == picture


@pytest.mark.parametrize("route", ["list", "tag"])
def test_a_picture_is_mass_sent(route: str, make: Make) -> None:
    world = make(route, size=20)
    kind = ROUTES[route][0]
    with world.runtime.work(1, "test") as work:
        picture = broadcasts.media.add(work, "a.png", PNG)
    broadcast = world.send(kind, {"kind": "image", "media": picture.reference})
    world.work_until(broadcast)
    verdict = world.judge(kind, broadcast)
    assert (verdict["lost"], verdict["duplicated"]) == (0, 0)


def test_a_file_is_checked_before_it_is_kept(make: Make) -> None:
    world = make("tag", size=5)
    bad = {
        ("a.jpg", PNG): "media_content",
        ("a.mp4", b"0" * 50): "media_content",
        ("a.jpg", b"\xff\xd8\xff"): "media_size",
        ("a.jpg", JPG + bytes(10 << 20)): "media_size",
    }
    with world.runtime.work(1, "test") as work:
        for (name, content), code in bad.items():
            with pytest.raises(Invalid) as refused:
                broadcasts.media.add(work, name, content)
            assert refused.value.code == f"broadcasts.{code}"
        with pytest.raises(Invalid):
            broadcasts.media.add(work, "a.exe", JPG, "image")
        large = broadcasts.media.add(work, "a.jpg", JPG + bytes(70_000))
        paper = broadcasts.media.add(work, "../../a.pdf", b"%PDF-1.7")
        assert paper.name == "a.pdf"
    article = {"kind": "article", "title": "t", "body": "b"}
    for cover, code in ((large.reference, "media_for_account"), (paper.reference, "media_other_kind")):
        with pytest.raises(Invalid) as unfit:
            draft_of(world, "official", {**article, "cover": cover})
        assert unfit.value.code == f"broadcasts.{code}"
    draft_of(world, "official", {"kind": "image", "media": large.reference})
    with world.runtime.work(1, "test") as work, pytest.raises(Conflict, match=r"x \(1\)"):
        broadcasts.media.remove(work, large.id)


def test_extremes_and_different_texts_are_shown(make: Make) -> None:
    world = make("tasks", size=60)
    who = furnish(world, "wecom", nicks=("短", "一个很长很长的名字"))
    broadcast = draft_of(world, "wecom", said("tasks", world))
    with world.runtime.read(1, "test") as work:
        found = store.get(work, broadcast)
        needed = contents.texts_needed(work, found, BitMap(who))
        cases = contents.worst_cases(work, found, BitMap(who))
        rendered = {number: contents.render(work, found, number).text for number in who}
    assert needed.different == len(set(rendered.values()))
    assert sum(one.contacts for one in needed.texts) == len(who)
    assert all(rendered[one.contact] == one.content.text for one in needed.texts)
    (longest,) = [case for case in cases if case.why == "longest"]
    assert longest.size == max(len(text.encode()) for text in rendered.values())
    assert {case.why for case in cases} == {"longest", "shortest", "if", "else"}


def test_who_refused_to_be_chosen_is_not_written_to_by_a_condition(make: Make) -> None:
    world = make("list", size=90)
    who = furnish(world, "service")
    with world.runtime.work(1, "test") as work:
        compliance.refuse_personalisation(work, BitMap(who[:3]), source="test")
    for text, held in ((GREETING, 3), ("{{level|普通}}会员", 0)):
        plan = plan_of(world, draft_of(world, "service", {"kind": "text", "text": text}))
        steps = {step.name: step.count for step in plan.steps}
        assert steps.get("personalisation_off", 0) == held
        assert steps["assigned"] == len(who) - held
