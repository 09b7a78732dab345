"""A server of callbacks: `python -m bench.receive WHICH HOME DATABASE_URL [CPU]` prints its address, and serves.

`tagcast` is the product's own server. `route` is what an ordinary FastAPI application does with wechatpy: check and
decrypt by its crypto, parse by its `parse_message`, store a row; the rows of `route` are committed in groups by the
same writer as ours, those of `plain` one by one. The peers store the text as it is, without sealing, events or digest.
"""

import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from socket import create_server
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from tagcast import access
from tagcast.kit.groupcommit import GroupCommit
from tagcast.kit.settings import Settings
from tagcast.server.run import run

TOKEN = "QDG6eK"
AES_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
APPID = "wx5823bf96d3bd56c7"
Row = tuple[str, str, bytes]


def open_rows(home: Path) -> sqlite3.Connection:
    """The peer's table, as durable as ours."""
    rows = sqlite3.connect(home / "peer.db", isolation_level=None, check_same_thread=False)
    rows.execute("PRAGMA journal_mode=WAL")
    rows.execute("PRAGMA synchronous=FULL")
    rows.execute("CREATE TABLE IF NOT EXISTS message (id TEXT PRIMARY KEY, kind TEXT, body BLOB) WITHOUT ROWID")
    return rows


def _peer(home: Path, *, in_groups: bool) -> FastAPI:
    from wechatpy import parse_message
    from wechatpy.crypto import WeChatCrypto

    app = FastAPI()
    crypto = WeChatCrypto(TOKEN, AES_KEY, APPID)
    rows = open_rows(home)

    def store(_workspace: int, found: Sequence[Row]) -> list[bool]:
        rows.execute("BEGIN IMMEDIATE")
        rows.executemany("INSERT OR IGNORE INTO message VALUES (?, ?, ?)", found)
        rows.execute("COMMIT")
        return [True] * len(found)

    writer: GroupCommit[Row, bool] = GroupCommit("peer", store)
    writer.start()

    @app.post("/callback/{path}", response_class=PlainTextResponse)
    async def receive(path: str, request: Request, msg_signature: str, timestamp: str, nonce: str) -> str:
        xml = crypto.decrypt_message(await request.body(), msg_signature, timestamp, nonce)
        message: Any = parse_message(xml)
        row = (f"{path}:{message.id}", message.type, xml.encode() if isinstance(xml, str) else xml)
        if in_groups:
            await writer.submit(1, row)
        else:
            store(1, [row])
        return "success"

    return app


def _serve_peer(which: str, home: str) -> None:
    """As an ordinary application is served."""
    listener = create_server(("127.0.0.1", 0), backlog=1024)
    print(orjson.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}).decode(), flush=True)
    config = uvicorn.Config(_peer(Path(home), in_groups=which == "route"), log_level="critical", access_log=False)
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    name, folder, database = sys.argv[1:4]
    if len(sys.argv) > 4 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(sys.argv[4])})
    if name == "tagcast":
        run(access.open_home(Settings(home=Path(folder), database_url=database, port=0)))
    else:
        _serve_peer(name, folder)
