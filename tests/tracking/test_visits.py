"""Clicks and opens over real HTTP: answered only when stored, counted once, forged ones all alike."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from pyroaring import BitMap

from tagcast import access, contacts, tracking
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.errors import Conflict, Invalid
from tagcast.kit.uow import Runtime, Work, open_runtime
from tagcast.tracking.rules import Hit, Kind
from tagcast.tracking.store import all_batches
from tagcast.tracking.tables import hit_batches
from tagcast.tracking.visits import ABSENT_SECONDS
from tests.tracking.serving import call, serving

BASE = "https://t.example"


def path(url: str) -> str:
    return urlsplit(url).path


def stored_hits(runtime: Runtime) -> list[Hit]:
    with runtime.read(1, "test") as work:
        batches = all_batches(work)
    return [Hit(*row) for _, data in batches for row in tracking.rules.unpack_hits(data).tolist()]


def numbers(runtime: Runtime) -> list[int]:
    return sorted(hit.number for hit in stored_hits(runtime))


def people(work: Work) -> None:
    contacts.ensure(work, [PersonIn({Identity("customer_id"): f"P{n}"}) for n in (1, 2, 3)])


def test_a_click_is_stored_then_redirected(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        people(work)
        link = tracking.make_link(work, "broadcast:1", "https://shop.example/sale?x=1")
        urls = tracking.personal_urls(work, link, [1, 2, 3], BASE)
    visits = tracking.Visits(runtime)
    visits.start()
    with serving(visits) as port:
        for url in [urls[0], urls[1], urls[1]]:
            status, headers, body = call(port, path(url))
            assert (status, headers["location"], body) == (302, "https://shop.example/sale?x=1", b"")
            assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
        assert numbers(runtime) == [1, 2, 2]
    visits.close()
    with runtime.work(1, "test") as work:
        assert tracking.unfolded(work)
        assert tracking.fold(work) == 3
        assert tracking.fold(work) == 0
        assert not tracking.unfolded(work)
        assert work.bitmaps.read("broadcast:1:clicked") == BitMap([1, 2])
        assert work.bitmaps.count("broadcast:1:opened") == 0
        assert tracking.totals(work, "broadcast:1") == tracking.Totals(0, 3, 0, 0)
        assert tracking.totals(work, "broadcast:2") == tracking.Totals(0, 0, 0, 0)


def test_programs_are_kept_apart_and_shared_links_belong_to_nobody(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        link = tracking.make_link(work, "broadcast:1", "https://shop.example/")
        mine = path(tracking.personal_urls(work, link, [9], BASE)[0])
        shared = path(tracking.shared_url(work, link, BASE))
    visits = tracking.Visits(runtime)
    visits.start()
    with serving(visits) as port:
        assert call(port, mine, "HEAD")[0] == 302
        assert call(port, mine, User_Agent="curl/8.5.0")[0] == 302
        assert call(port, mine, Sec_Purpose="prefetch;prerender")[0] == 302
        assert call(port, shared)[0] == 302
        assert call(port, shared, "POST")[0] == 405
    visits.close()
    assert sorted((hit.number, hit.flags) for hit in stored_hits(runtime)) == [(0, 0), (9, 1), (9, 2), (9, 4)]
    with runtime.work(1, "test") as work:
        assert tracking.fold(work) == 4
        assert work.bitmaps.keys("broadcast:1:") == []
        assert tracking.totals(work, "broadcast:1") == tracking.Totals(0, 1, 0, 3)


def test_all_that_is_not_ours_gets_the_same_page(runtime_sqlite: Runtime) -> None:
    runtime = runtime_sqlite
    with runtime.work(1, "test") as work:
        link = tracking.make_link(work, "broadcast:1", "https://shop.example/")
        page = tracking.make_page(work, "broadcast:1", title="t", body="b")
        click = path(tracking.personal_urls(work, link, [5], BASE)[0])
        opened = path(tracking.message_url(work, page, BASE, number=5))
        ghost = tracking.Link(999, 1, "x", 1, link.kind, "https://evil.example/", link.created_at)
        never_made = path(tracking.shared_url(work, ghost, BASE))
        elsewhere = tracking.Link(link.id, 2, "x", 1, link.kind, "https://evil.example/", link.created_at)
        other_workspace = path(tracking.shared_url(work, elsewhere, BASE))
    tampered = click[:-1] + ("A" if click[-1] != "A" else "B")
    forged = [
        tampered, "/m/" + click[3:], "/k/" + opened[3:], never_made, other_workspace, "/k/", "/m/", "/k//evil.example",
        "/k/%2F%5Cevil.example", click + "/", click + "/x", "/k/" + "A" * 36, "/m/../k/x", "/k/javascript:alert(1)",
    ]  # fmt: skip
    visits = tracking.Visits(runtime)
    visits.start()
    with serving(visits) as port:
        answers = [call(port, item) for item in forged]
        assert call(port, click)[0] == 302
        assert call(port, opened)[0] == 200
    visits.close()
    assert {status for status, *_ in answers} == {404}
    assert len({body for *_, body in answers}) == 1
    assert {tuple(sorted(name for name in headers if name != "date")) for _, headers, _ in answers} == {
        ("cache-control", "content-length", "content-security-policy", "content-type", "referrer-policy", "server",
         "x-content-type-options", "x-robots-tag"),
    }  # fmt: skip
    assert numbers(runtime) == [5, 5]


def test_the_message_page_escapes_and_its_button_counts(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        people(work)
        link = tracking.make_link(work, "broadcast:4", "https://shop.example/")
        page = tracking.make_page(
            work, "broadcast:4", title="<b>双11</b>", body="第一段\n换行\n\n<script>{{7*7}}</script>",
            button_label="去看看", link=link,
        )  # fmt: skip
        url = path(tracking.message_url(work, page, BASE, number=2))
        button = path(tracking.personal_urls(work, link, [2], BASE)[0])
    visits = tracking.Visits(runtime)
    visits.start()
    with serving(visits) as port:
        status, headers, body = call(port, url, Accept_Language="zh-CN,zh;q=0.9")
        text = body.decode()
        assert status == 200
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert f'<a data-button class="button" rel="noreferrer nofollow" href="{button}">去看看</a>' in text
        assert "<p>第一段<br>换行</p>" in text
        assert "&lt;script&gt;{{7*7}}&lt;/script&gt;" in text
        assert "&lt;b&gt;双11&lt;/b&gt;" in text
        assert "<script" not in text
        assert "<style" not in text
        assert '<html lang="zh-CN">' in text
        assert b'<html lang="en">' in call(port, url, Accept_Language="en-GB")[2]
        assert call(port, "/m/style.css")[1]["content-type"] == "text/css; charset=utf-8"
        assert call(port, button)[0] == 302
    visits.close()
    with runtime.work(1, "test") as work:
        assert tracking.fold(work) == 3
        assert work.bitmaps.read("broadcast:4:opened") == BitMap([2])
        assert work.bitmaps.read("broadcast:4:clicked") == BitMap([2])
        assert tracking.totals(work, "broadcast:4") == tracking.Totals(2, 1, 0, 0)


def test_a_link_and_a_page_never_change(work: Work) -> None:
    link = tracking.make_link(work, "broadcast:1", "https://shop.example/")
    assert tracking.make_link(work, "broadcast:1", "https://shop.example/") == link
    assert tracking.make_link(work, "broadcast:1", "https://shop.example/b", no=2).id != link.id
    with pytest.raises(Conflict) as caught:
        tracking.make_link(work, "broadcast:1", "https://shop.example/other")
    assert caught.value.code == "tracking.link_taken"
    page = tracking.make_page(work, "broadcast:1", title="t", body="b", button_label="go", link=link)
    assert tracking.make_page(work, "broadcast:1", title="t", body="b", button_label="go", link=link) == page
    with pytest.raises(Conflict) as caught:
        tracking.make_page(work, "broadcast:1", title="t", body="c", button_label="go", link=link)
    assert caught.value.code == "tracking.page_taken"
    for wrong in ({"title": " "}, {"title": "t" * 201}, {"button_label": "go"}, {"link": link}):
        with pytest.raises(Invalid):
            tracking.make_page(work, "broadcast:2", **{"title": "t", "body": "b", **wrong})  # type: ignore[arg-type]  # wrong on purpose


def test_a_forgotten_contact_leaves_no_number(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        link = tracking.make_link(work, "broadcast:1", "https://shop.example/")
    with runtime.system() as connection:
        tracking.store.insert_hits(
            connection, {1: [Hit(1, link.id, 5, 0), Hit(2, link.id, 6, 0), Hit(3, link.id, 5, 0)]}
        )
    with runtime.work(1, "test") as work:
        assert tracking.forget(work, 5) == 2
        assert tracking.forget(work, 5) == 0
        assert tracking.totals(work, "broadcast:1").clicks == 3
    assert numbers(runtime) == [0, 0, 6]


def test_who_folds_second_waits_for_the_first(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        people(work)
        link = tracking.make_link(work, "broadcast:1", "https://shop.example/")
    with runtime.system() as connection:
        for number in (1, 2):
            tracking.store.insert_hits(connection, {1: [Hit(number, link.id, number, 0)]})

    def second() -> tuple[int, BitMap]:
        with runtime.work(1, "second") as work:
            return tracking.fold(work), BitMap(work.bitmaps.read("broadcast:1:clicked"))

    with ThreadPoolExecutor(1) as pool:
        with runtime.work(1, "first") as work:
            assert tracking.fold(work) == 2
            waiting = pool.submit(second)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
        assert waiting.result(timeout=30) == (0, BitMap([1, 2]))


def test_a_workspace_made_later_is_found(runtime_sqlite: Runtime) -> None:
    early = tracking.Link(1, 2, "x", 1, Kind.CLICK, "https://shop.example/", datetime(2026, 1, 1, tzinfo=UTC))
    with runtime_sqlite.work(1, "test") as work:
        forged = path(tracking.shared_url(work, early, BASE))
    visits = tracking.Visits(runtime_sqlite)
    visits.start()
    with serving(visits) as port:
        assert call(port, forged)[0] == 404
        with runtime_sqlite.system() as connection:
            assert access.create_workspace(connection, runtime_sqlite.master_key, "second") == 2
        with runtime_sqlite.work(2, "test") as work:
            url = path(tracking.shared_url(work, tracking.make_link(work, "x", "https://shop.example/"), BASE))
        time.sleep(ABSENT_SECONDS)
        assert call(port, url)[0] == 302
        assert call(port, forged)[0] == 404
    visits.close()


def test_two_workspaces_share_a_commit_and_nothing_else(runtime: Runtime) -> None:
    with runtime.system() as connection:
        tracking.store.insert_hits(connection, {1: [Hit(1, 1, 5, 0)], 2: [Hit(1, 1, 6, 0)]})
    with runtime.work(1, "test") as work:
        assert tracking.fold(work) == 1
        assert work.connection.scalar(sa.select(sa.func.count()).where(hit_batches.c.folded_at.is_(None))) == 1
    assert numbers(runtime) == [5]


def test_no_database_no_redirect(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "test") as work:
        link = tracking.make_link(work, "broadcast:1", "https://shop.example/")
        url = path(tracking.personal_urls(work, link, [1], BASE)[0])
    visits = tracking.Visits(runtime_sqlite)
    visits.start()
    with serving(visits) as port:
        assert call(port, url)[0] == 302
        with runtime_sqlite.system() as connection:
            connection.execute(sa.text("ALTER TABLE hit_batch RENAME TO away"))
        status, headers, _ = call(port, url)
        assert (status, headers["retry-after"]) == (503, "2")
        with runtime_sqlite.system() as connection:
            connection.execute(sa.text("ALTER TABLE away RENAME TO hit_batch"))
        assert call(port, url)[0] == 302
    visits.close()
    assert numbers(runtime_sqlite) == [1, 1]


SERVER = """
import asyncio, socket, sys
from pathlib import Path
import uvicorn
from tagcast import access, contacts, tracking
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime
visits = tracking.Visits(open_runtime(Settings(home=Path(sys.argv[1]))))
visits.start()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
server = uvicorn.Server(uvicorn.Config(visits, log_config=None, access_log=False, lifespan="off"))
asyncio.run(server.serve([listener]))
"""

CLIENT = """
import http.client, sys, threading
port, base = int(sys.argv[1]), sys.argv[2:]
def go(part):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for line in part:
        number, path = line.split("=", 1)
        try:
            connection.request("GET", path, headers={"User-Agent": "MicroMessenger"})
            answer = connection.getresponse(); answer.read()
        except OSError:
            return
        except http.client.HTTPException:
            return
        if answer.status == 302:
            sys.stdout.write(number + "\\n"); sys.stdout.flush()
lines = sys.stdin.read().split()
threads = [threading.Thread(target=go, args=(lines[i::8],)) for i in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


def test_every_answered_click_survives_a_kill(runtime_sqlite: Runtime) -> None:
    home: Path = runtime_sqlite.settings.home
    with runtime_sqlite.work(1, "test") as work:
        link = tracking.make_link(work, "broadcast:1", "https://shop.example/")
        urls = tracking.personal_urls(work, link, range(1, 50_001), BASE)
    runtime_sqlite.close()
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(home)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write("\n".join(f"{number}={path(url)}" for number, url in enumerate(urls, 1)))
    client.stdin.close()
    answered = [int(client.stdout.readline()) for _ in range(300)]
    os.kill(server.pid, signal.SIGKILL)
    answered += [int(line) for line in client.stdout.read().split()]
    server.wait()
    server.stdout.close()
    client.wait()
    client.stdout.close()
    reopened = open_runtime(runtime_sqlite.settings)
    kept = numbers(reopened)
    reopened.close()
    assert len(answered) >= 300
    assert set(answered) - set(kept) == set()
    assert len(kept) == len(set(kept)) < 50_000
