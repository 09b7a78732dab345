"""The HTTP shell: the API under `/api/v1`, the routes of phones and platforms in front of it, health. Owns no table."""

from tagcast.server.app import create_app
from tagcast.server.run import serve

__all__ = ["create_app", "serve"]
