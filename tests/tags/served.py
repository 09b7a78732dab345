"""The API over real HTTP, for tests of routes."""

import json
from typing import Any

from tests.tracking.serving import call


class Served:
    """A server's port and a key to it."""

    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self.key = key

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """(status, JSON answer) of a call below /api/v1."""
        sent = None if body is None else json.dumps(body).encode()
        auth = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **headers}
        status, _, answer = call(self.port, f"/api/v1{path}", method, body=sent, **auth)
        return status, json.loads(answer)
