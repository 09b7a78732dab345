"""Control calls that let a person act towards an account: write, tap a menu, scan a code, answer a subscription."""

from typing import Any

from wechat_sandbox.errors import ControlError
from wechat_sandbox.official import interact
from wechat_sandbox.official.blacklist import blacklisted
from wechat_sandbox.people import relations
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

Answer = tuple[int, Any]


def _person(world: World, body: dict[str, Any], *, follower: bool = True) -> tuple[Document, int, str]:
    """Account, index and openid that a control call names; ControlError when there is none such."""
    account = world.account(body.get("account"))
    if account["kind"] == "wecom":
        raise ControlError(409, "this call is for official, service and mini accounts")
    index = world.population.find(str(body.get("person", "")), world.accounts())
    if index is None:
        raise ControlError(404, f"no person {body.get('person')}")
    reach = world.reach_of(account)
    if follower and not reach.follows[index]:
        raise ControlError(409, f"{reach.ids[index]} does not follow the account")
    return account, index, reach.ids[index]


def say(world: World, query: dict[str, str], body: dict[str, Any]) -> Answer:
    """Control: a person writes to the account: text, or image, voice, video with `media_id`.

    Whom the account put on its blacklist it does not hear.
    """
    account, _, person = _person(world, body)
    kind = str(body.get("type", "text"))
    if kind not in ("text", "image", "voice", "video", "location", "link"):
        raise ControlError(400, "type must be text, image, voice, video, location or link")
    number = world.state.next_number("upstream", 24_000_000_000_000_001)
    media_id = str(body.get("media_id", "sandbox"))
    shapes: dict[str, dict[str, Any]] = {
        "text": {"Content": str(body.get("text", ""))},
        "image": {"PicUrl": f"{world.address}/sandbox-image", "MediaId": media_id},
        "voice": {"MediaId": media_id, "Format": "amr"},
        "video": {"MediaId": media_id, "ThumbMediaId": media_id},
        "location": {"Location_X": "23.134", "Location_Y": "113.358", "Scale": 20, "Label": str(body.get("text", ""))},
        "link": {"Title": str(body.get("text", "")), "Description": "", "Url": str(body.get("url", ""))},
    }
    if blacklisted(world, account, person):
        return 200, {"openid": person, "MsgId": None}
    interact.note(world, account["id"], "say", person, subject=kind)
    interact.open_window(world, account, person, "message")
    world.callbacks.send(account, "", person, {"MsgType": kind, **shapes[kind], "MsgId": number}, world.now())
    return 200, {"openid": person, "MsgId": str(number)}


def tap(world: World, query: dict[str, str], body: dict[str, Any]) -> Answer:
    """Control: a person taps a menu button: `key` (CLICK) or `url` (VIEW, which opens no window)."""
    account, _, person = _person(world, body)
    if body.get("url"):
        world.callbacks.send(account, "VIEW", person, {"EventKey": str(body["url"])}, world.now())
    elif body.get("key"):
        interact.open_window(world, account, person, "click")
        world.callbacks.send(account, "CLICK", person, {"EventKey": str(body["key"])}, world.now())
    else:
        raise ControlError(400, "key or url is needed")
    return 200, {"openid": person}


def scan(world: World, query: dict[str, str], body: dict[str, Any]) -> Answer:
    """Control: a person scans a code of qrcode/create by its `ticket`: follows by it, or is seen again."""
    account, index, person = _person(world, body, follower=False)
    code = world.state.get("qrcode", str(body.get("ticket", "")))
    if code is None or code["account"] != account["id"]:
        raise ControlError(404, "no such ticket at this account")
    if code["expires"] and world.now() >= code["expires"]:
        raise ControlError(409, "the code has expired")
    scene, ticket = str(code["scene"]), {"Ticket": code["ticket"]}
    if world.reach_of(account).follows[index]:
        interact.open_window(world, account, person, "scan")
        world.callbacks.send(account, "SCAN", person, {"EventKey": scene, **ticket}, world.now())
        return 200, {"openid": person, "event": "SCAN"}
    relations.change(world, account, index, True, None, how={"EventKey": f"qrscene_{scene}", **ticket})
    details = world.state.get("follower", f"{account['id']}:{person}") or {}
    details["qr_scene" if isinstance(code["scene"], int) else "qr_scene_str"] = code["scene"]
    world.state.put("follower", f"{account['id']}:{person}", details)
    return 200, {"openid": person, "event": "subscribe"}


def accept(world: World, query: dict[str, str], body: dict[str, Any]) -> Answer:
    """Control: a person answers the question for subscription messages of `template`: `times` more, or refuses."""
    account, _, person = _person(world, body, follower=False)
    template, times = body.get("template"), int(body.get("times", 1))
    if not isinstance(template, str) or not template:
        raise ControlError(400, "template is needed")
    key = f"{account['id']}:{person}:{template}"
    known = world.state.get("consent", key) or {"left": 0}
    event = "subscribe_msg_popup_event"
    if times > 0:
        known["left"] += times
    else:
        event = "subscribe_msg_change_event" if known["left"] else event
        known["left"] = 0
    world.state.put("consent", key, known)
    entry: dict[str, Any] = {"TemplateId": template, "SubscribeStatusString": "accept" if times > 0 else "reject"}
    if event == "subscribe_msg_popup_event":
        entry["PopupScene"] = "0"
    name = "SubscribeMsgPopupEvent" if event == "subscribe_msg_popup_event" else "SubscribeMsgChangeEvent"
    world.callbacks.send(account, event, person, {name: {"List": entry}}, world.now())
    return 200, {"openid": person, "left": known["left"]}


def event(world: World, query: dict[str, str], body: dict[str, Any]) -> Answer:
    """Control: any other event of a person, as `event` and its `fields` (LOCATION, user_authorization_revoke, …)."""
    account, _, person = _person(world, body, follower=False)
    name, fields = body.get("event"), body.get("fields") or {}
    if not isinstance(name, str) or not name or not isinstance(fields, dict):
        raise ControlError(400, "event must be a name, and fields an object")
    world.callbacks.send(account, name, person, fields, world.now())
    return 200, {"openid": person}


CONTROL = {
    ("POST", "people/say"): say,
    ("POST", "people/tap"): tap,
    ("POST", "people/scan"): scan,
    ("POST", "people/accept"): accept,
    ("POST", "people/event"): event,
}
