"""A callback server in a process of its own: `python -m tests.inbox.serve HOME DATABASE_URL` prints its port."""

import asyncio
import sys
from pathlib import Path

import uvicorn

from tagcast.inbox import CallbackApp
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime


async def main(home: str, url: str) -> None:
    runtime = open_runtime(Settings(home=Path(home), database_url=url))
    app = CallbackApp(runtime)
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="critical", access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving
    app.close()
    runtime.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
