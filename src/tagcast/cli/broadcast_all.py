"""`tagcast broadcast` with the commands of every topic: each file puts its own on the same program."""

from tagcast.cli import (
    broadcast_content,
    broadcast_employees,
    broadcast_plans,
    broadcast_running,
    broadcast_schedule,
    broadcast_texts,
)
from tagcast.cli.broadcast import app

__all__ = [
    "app",
    "broadcast_content",
    "broadcast_employees",
    "broadcast_plans",
    "broadcast_running",
    "broadcast_schedule",
    "broadcast_texts",
]
