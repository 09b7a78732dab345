"""The sandbox as the platform of accounts."""

import json
import urllib.request
from dataclasses import dataclass
from typing import Any


@dataclass
class Platform:
    url: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    @property
    def requests(self) -> int:
        """Calls that the platform was asked so far."""
        return int(self.call("GET", "/sandbox/health")["requests"])
