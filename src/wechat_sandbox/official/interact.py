"""What people do with an account: follow, leave, write, scan, tap a menu; its events, and the reply window it opens.

A window lets the account answer with customer-service messages: 5 within 48 hours of a person's message, 3 within a
minute of following, scanning or tapping. Every act opens its window anew.
"""

from typing import Any

from wechat_sandbox.errors import ApiError
from wechat_sandbox.limits import day_of
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_ZONE_MS = 8 * 3600 * 1000
_TRIGGERS = ("message", "follow", "scan", "click")
# Where new followers come from, as datacube/getusersummary numbers it (numbers UNCONFIRMED but for the sum).
SOURCES = {"ADD_SCENE_SEARCH": 1, "ADD_SCENE_PROFILE_CARD": 17, "ADD_SCENE_QR_CODE": 30, "ADD_SCENE_OTHERS": 0}


def hour_of(now_ms: int) -> int:
    """The hour of the day in Asia/Shanghai, 0 to 23."""
    return (now_ms + _ZONE_MS) // 3_600_000 % 24


def note(world: World, account: int, kind: str, person: str, *, subject: str = "", scene: int = 0) -> None:
    """Write one happening for the statistics."""
    now = world.now()
    world.state.happening_rows.append((account, day_of(now), hour_of(now), kind, person, subject, scene))


def open_window(world: World, account: Document, person: str, trigger: str) -> None:
    """The person did something: the account may answer."""
    key = f"{account['id']}:{person}"
    windows = world.state.get("reply_window", key) or {}
    windows[trigger] = {"at": world.now(), "used": 0}
    world.state.put("reply_window", key, windows)


def take_window(world: World, account: Document, person: str) -> None:
    """Use one answer: 45015 when no window is open, 45047 when the open ones are used up."""
    windows = world.state.get("reply_window", f"{account['id']}:{person}") or {}
    closed = True
    for trigger in _TRIGGERS:
        window = windows.get(trigger)
        name = "message" if trigger == "message" else "touch"
        if window is None or world.now() - window["at"] >= world.limits[f"reply_{name}_seconds"] * 1000:
            continue
        closed = False
        if window["used"] < world.limits[f"reply_{name}_messages"]:
            window["used"] += 1
            world.state.put("reply_window", f"{account['id']}:{person}", windows)
            return
    raise ApiError(45015 if closed else 45047)


def moved(world: World, account: Document, person: str, *, follows: bool, fields: dict[str, Any]) -> None:
    """A person followed or left: details, statistics, window and event."""
    key = f"{account['id']}:{person}"
    known = world.state.get("follower", key) or {}
    if follows:
        scanned = str(fields.get("EventKey", "")).startswith("qrscene_")
        scene = "ADD_SCENE_QR_CODE" if scanned else "ADD_SCENE_SEARCH"
        known.update(subscribe_time=world.now() // 1000, subscribe_scene=scene, qr_scene=0, qr_scene_str="")
        note(world, account["id"], "follow", person, scene=SOURCES[scene])
        open_window(world, account, person, "follow")
    else:
        note(world, account["id"], "unfollow", person)
        world.state.remove("reply_window", key)
    world.state.put("follower", key, known)
    world.callbacks.send(account, "subscribe" if follows else "unsubscribe", person, fields, world.now())
