"""Media, materials, drafts and publications of 公众号 and 服务号, against the sandbox."""

import asyncio
import time

import pytest
from tests.channels.boxed import PNG, Sandbox
from tests.channels.canned import Canned

from tagcast.channels import Article, ChannelError, Message, OfficialClient, Reaction, Text, Video, Voice
from tagcast.channels.calls import Downloaded
from tagcast.channels.official import (
    Publication,
    PublishStatus,
    StoredArticles,
    StoredFile,
    StoredVideo,
    VideoLink,
)

AMR = b"#!AMR\n" + bytes(60)
JPG = b"\xff\xd8\xff" + bytes(60)
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(60)


async def one_cover(client: OfficialClient) -> str:
    return (await client.media.store("image", "封面.png", PNG)).media_id


def article(cover: str, title: str = "标题", body: str = "<p>正文</p>") -> Article:
    return Article(title, "摘要", author="作者", body=body, cover_media_id=cover, url="https://a.example/1")


def test_temporary_media_come_back_as_they_were(sandbox: Sandbox) -> None:
    async def use(client: OfficialClient) -> None:
        for kind, name, content in (("image", "a.png", PNG), ("voice", "a.amr", AMR), ("thumb", "a.jpg", JPG)):
            kept = await client.media.upload(kind, name, content)  # type: ignore[arg-type]  # one of the words above
            assert abs(kept.created_at - time.time()) < 60
            got = await client.media.download(kept.media_id)
            assert isinstance(got, Downloaded)
            assert got.content == content
            assert got.content_type.partition("/")[0] in ("image", "audio")
        film = await client.media.upload("video", "a.mp4", MP4)
        link = await client.media.download(film.media_id)
        assert isinstance(link, VideoLink)
        assert link.video_url.startswith("http")
        with pytest.raises(ChannelError) as gone:
            await client.media.download("no-such-media")
        assert (gone.value.errcode, gone.value.reason) == (40007, "media_gone")

    sandbox.official("official", use)


def test_media_die_after_three_days(sandbox: Sandbox) -> None:
    async def upload(client: OfficialClient) -> str:
        return (await client.media.upload("image", "a.png", PNG)).media_id

    media_id = sandbox.official("service", upload)
    sandbox.control("clock", {"advance_seconds": 3 * 86_400 + 60})
    with pytest.raises(ChannelError) as gone:
        sandbox.official("service", lambda client: client.media.download(media_id))
    assert gone.value.reason == "media_gone"


def test_materials_are_stored_listed_read_counted_and_deleted(sandbox: Sandbox) -> None:
    async def use(client: OfficialClient) -> None:
        before = await client.media.count_stored()
        pictures = [await client.media.store("image", f"图{number}.png", PNG) for number in range(22)]
        assert all(picture.url.startswith("http") for picture in pictures)
        film = await client.media.store_video("a.mp4", MP4, title="春天", introduction="介绍")
        voice = await client.media.store("voice", "a.mp3", AMR)
        after = await client.media.count_stored()
        assert (after.image_count - before.image_count, after.video_count, after.voice_count) == (22, 1, 1)
        pages: list[tuple[StoredFile, ...]] = [page async for page in client.media.stored("image")]
        assert [len(page) for page in pages] == [20, len([one for page in pages for one in page]) - 20]
        listed = {one.media_id for page in pages for one in page}
        assert {picture.media_id for picture in pictures} <= listed
        got = await client.media.read_stored(pictures[0].media_id)
        assert isinstance(got, Downloaded)
        assert got.content == PNG
        shown = await client.media.read_stored(film.media_id)
        assert isinstance(shown, StoredVideo)
        assert (shown.title, shown.description) == ("春天", "介绍")
        await client.media.delete_stored(voice.media_id)
        assert [page async for page in client.media.stored("voice")] == []
        with pytest.raises(ChannelError) as gone:
            await client.media.read_stored(voice.media_id)
        assert gone.value.reason == "media_gone"

    sandbox.official("official", use)


def test_a_material_in_use_is_not_deleted(sandbox: Sandbox) -> None:
    async def use(client: OfficialClient) -> None:
        cover = await one_cover(client)
        body = {"account": sandbox.accounts["service"]["id"], "media_id": cover}
        await asyncio.to_thread(sandbox.control, "materials/use", body)
        with pytest.raises(ChannelError) as used:
            await client.media.delete_stored(cover)
        assert (used.value.errcode, used.value.reason) == (48005, "material_in_use")

    sandbox.official("service", use)


@pytest.mark.parametrize(
    ("kind", "name", "size"),
    [
        ("image", "a.png", 10 * 1024 * 1024 + 1),
        ("image", "a.png", 0),
        ("image", "a.bmp", 100),
        ("voice", "a.wav", 100),
        ("voice", "a.mp3", 2 * 1024 * 1024 + 1),
        ("video", "a.avi", 100),
        ("thumb", "a.jpg", 64 * 1024 + 1),
        ("thumb", "a.png", 100),
    ],
)
def test_a_file_that_would_be_refused_never_leaves(kind: str, name: str, size: int) -> None:
    canned = Canned()
    with pytest.raises(ValueError, match=f"a file of kind {kind}"):
        canned.official(lambda c: c.media.upload(kind, name, bytes(size)), {"media_id": "M"})  # type: ignore[arg-type]  # parametrised text
    with pytest.raises(ValueError, match="a file of kind article_image"):
        canned.official(lambda c: c.media.upload_for_article("a.png", bytes(1024 * 1024)), {"url": "https://x"})
    assert canned.seen == []


def test_a_video_carries_its_title_as_a_form_field() -> None:
    canned = Canned()
    stored = canned.official(
        lambda c: c.media.store_video("a.mp4", MP4, title="春", introduction="介"), {"media_id": "F"}
    )
    assert stored.media_id == "F"
    assert canned.seen[0].query["type"] == "video"
    fields = canned.seen[0].body.split(canned.seen[0].headers["Content-Type"].partition("boundary=")[2].encode())
    assert b'name="description"\r\n\r\n{"title":"\xe6\x98\xa5","introduction":"\xe4\xbb\x8b"}' in fields[1]
    assert MP4 in fields[2]
    with pytest.raises(ValueError, match="needs a title"):
        canned.official(lambda c: c.media.store_video("a.mp4", MP4, title=""), {"media_id": "F"})


def test_what_is_no_file_is_an_error_or_a_description() -> None:
    refused = {"errcode": 40007, "errmsg": "invalid media_id rid: 65eac940-1a79c8dc-1be683b5"}
    with pytest.raises(ChannelError) as gone:
        Canned().official(lambda c: c.media.download("M"), refused)
    assert (gone.value.reason, gone.value.request_id) == ("media_gone", "65eac940-1a79c8dc-1be683b5")
    with pytest.raises(ChannelError) as empty:
        Canned().official(lambda c: c.media.download("M"), b"")
    assert (empty.value.reaction, empty.value.reason) == (Reaction.RETRY, "answer_lost")
    with pytest.raises(ChannelError) as other:
        Canned().official(lambda c: c.media.download("M"), {"anything": 1})
    assert other.value.reason == "answer_lost"
    news = {"news_item": [{"title": "旧", "content": "<p/>", "url": "https://mp"}]}
    old = Canned().official(lambda c: c.media.read_stored("M"), news)
    assert isinstance(old, StoredArticles)
    assert [one.title for one in old.news_item] == ["旧"]


def test_drafts_are_added_read_changed_listed_and_deleted(sandbox: Sandbox) -> None:
    async def use(client: OfficialClient) -> None:
        cover = await one_cover(client)
        draft = await client.drafts.add([article(cover), article(cover, "第二篇")])
        read = await client.drafts.read(draft)
        assert [(one.title, one.author, one.digest, one.content) for one in read] == [
            ("标题", "作者", "摘要", "<p>正文</p>"),
            ("第二篇", "作者", "摘要", "<p>正文</p>"),
        ]
        await client.drafts.update(draft, article(cover, "改过"), index=1)
        assert [one.title for one in await client.drafts.read(draft)] == ["标题", "改过"]
        others = [await client.drafts.add([article(cover, f"第{number}")]) for number in range(21)]
        assert await client.drafts.count() == 22
        pages = [page async for page in client.drafts.all()]
        assert [len(page) for page in pages] == [20, 2]
        assert {one.media_id for page in pages for one in page} == {draft, *others}
        assert {one.content.news_item[0].content for page in pages for one in page} == {""}
        whole = [page async for page in client.drafts.all(with_content=True)]
        assert whole[0][0].content.news_item[0].content == "<p>正文</p>"
        await client.drafts.delete(draft)
        assert await client.drafts.count() == 21
        with pytest.raises(ChannelError) as gone:
            await client.drafts.read(draft)
        assert gone.value.reason == "media_gone"

    sandbox.official("official", use)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (article("C", "字" * 33), r"article\.title: 33 chars, at most 32"),
        (article("C", body="x" * 20_001), r"article\.body"),
        (article(""), r"article\.cover_media_id"),
        (article("C", ""), r"article\.title"),
    ],
)
def test_an_article_that_would_be_refused_never_leaves(wrong: Article, said: str) -> None:
    canned = Canned()
    with pytest.raises(ValueError, match=said):
        canned.official(lambda c: c.drafts.add([wrong]), {"media_id": "D"})
    with pytest.raises(ValueError, match=said):
        canned.official(lambda c: c.drafts.update("D", wrong), {"errcode": 0})
    with pytest.raises(ValueError, match="needs an article"):
        canned.official(lambda c: c.drafts.add([]), {"media_id": "D"})
    assert canned.seen == []


async def published(client: OfficialClient, publish_id: str) -> Publication:
    for _ in range(100):
        found = await client.publishing.status(publish_id)
        if found.publish_status != PublishStatus.PUBLISHING:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("the publication never ended")


def test_a_publication_is_accepted_then_there_and_can_be_taken_away(sandbox: Sandbox) -> None:
    async def use(client: OfficialClient) -> None:
        cover = await one_cover(client)
        draft = await client.drafts.add([article(cover), article(cover, "第二篇")])
        submitted = await client.publishing.submit(draft)
        done = await published(client, submitted.publish_id)
        assert (done.publish_id, done.publish_status) == (submitted.publish_id, PublishStatus.PUBLISHED)
        assert [one.idx for one in done.article_detail.item] == [1, 2]
        assert all(one.article_url.startswith("http") for one in done.article_detail.item)
        assert [one.title for one in await client.publishing.read(done.article_id)] == ["标题", "第二篇"]
        assert done.article_id in {one.article_id async for page in client.publishing.all() for one in page}
        await client.publishing.delete(done.article_id, article=1)
        assert [one.is_deleted for one in await client.publishing.read(done.article_id)] == [True, False]
        await client.publishing.delete(done.article_id)
        assert (await client.publishing.status(submitted.publish_id)).publish_status == PublishStatus.DELETED_BY_USER
        with pytest.raises(ChannelError) as wrong:
            await client.publishing.read("no-such-article")
        assert (wrong.value.errcode, wrong.value.reason) == (53600, "no_such_article")
        with pytest.raises(ValueError, match="counted from 1"):
            await client.publishing.delete(done.article_id, article=-1)

    sandbox.official("official", use)


def test_publish_ids_are_texts_whatever_came() -> None:
    answer = {"errcode": 0, "errmsg": "ok", "publish_id": 100000001, "msg_data_id": 2247483650}
    submitted = Canned().official(lambda c: c.publishing.submit("D"), answer)
    assert (submitted.publish_id, submitted.msg_data_id) == ("100000001", "2247483650")
    state = {"publish_id": "100000001", "publish_status": 4, "fail_idx": [1, 2]}
    found = Canned().official(lambda c: c.publishing.status("100000001"), state)
    assert (PublishStatus(found.publish_status), found.fail_idx) == (PublishStatus.REJECTED, (1, 2))


def test_a_lost_submission_is_in_doubt() -> None:
    with pytest.raises(ChannelError) as lost:
        Canned().official(lambda c: c.publishing.submit("D"), b"")
    assert lost.value.reaction is Reaction.IN_DOUBT
    with pytest.raises(ChannelError) as read:
        Canned().official(lambda c: c.publishing.status("1"), b"")
    assert read.value.reaction is Reaction.RETRY


@pytest.mark.parametrize("count", [0, 3])
def test_a_list_whose_total_is_wrong_ends(count: int) -> None:
    page = {"total_count": 99, "item_count": count, "item": [{"media_id": str(n)} for n in range(count)]}
    end = {"total_count": 99, "item_count": 0, "item": []}

    async def use(client: OfficialClient) -> list[int]:
        return [len(page) async for page in client.media.stored("image")]

    canned = Canned()
    assert canned.official(use, page, end) == [count] * bool(count)
    assert [seen.json()["offset"] for seen in canned.seen] == ([0, 3] if count else [0])


def test_voice_and_video_can_be_sent_and_previewed(sandbox: Sandbox) -> None:
    some = sandbox.ids("service")[:3]

    async def use(client: OfficialClient) -> None:
        voice = await client.media.upload("voice", "a.amr", AMR)
        film = await client.media.store_video("a.mp4", MP4, title="片")
        messages: list[Message] = [Voice(voice.media_id), Video(film.media_id, "片"), Text("文字")]
        for number, message in enumerate(messages):
            sent = await client.mass.send_to_people(message, some, client_id=f"v-{number}")
            assert sent.msg_id > 0
            await client.mass.preview(message, openid=some[0])

    sandbox.official("service", use)
