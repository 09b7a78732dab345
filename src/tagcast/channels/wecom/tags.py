"""Tags on customers: groups and tags, exactly two levels; on a pair of employee and customer."""

from collections.abc import Sequence
from typing import Any

from tagcast.channels.calls import Answer, Caller, Done
from tagcast.channels.wecom.limits import within


class CorpTag(Answer):
    """A corp tag; `deleted` is told only of tags asked for by id."""

    id: str
    name: str
    order: int = 0
    create_time: int = 0
    deleted: bool = False


class CorpTagGroup(Answer):
    """A group of tags; tags live in groups and nowhere deeper. `strategy_id` is the owning 规则组 of strategy tags."""

    group_id: str
    group_name: str
    order: int = 0
    create_time: int = 0
    deleted: bool = False
    strategy_id: int = 0
    tag: tuple[CorpTag, ...] = ()


class _TagGroups(Answer):
    tag_group: tuple[CorpTagGroup, ...]


class _TagGroup(Answer):
    tag_group: CorpTagGroup


class Tags:
    """企业客户标签 and 规则组标签. An app can edit and delete only what it made; no callback tells of its changes."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def groups(self, tag_ids: Sequence[str] = (), group_ids: Sequence[str] = ()) -> tuple[CorpTagGroup, ...]:
        """Groups with their tags: all, or those asked for. With `group_ids` the platform ignores `tag_ids`."""
        body = _ids(tag_ids, group_ids)
        return (await self._caller.post("/cgi-bin/externalcontact/get_corp_tag_list", body, _TagGroups)).tag_group

    async def add(self, names: Sequence[str], *, group_name: str = "", group_id: str = "") -> CorpTagGroup:
        """Add tags to a group, made when its name is new; a name that the group has already is kept once.

        Raises ValueError for no name, a name that is empty or longer than 30 characters, or no group.
        """
        body = _new(names, group_name, group_id)
        return (await self._caller.post("/cgi-bin/externalcontact/add_corp_tag", body, _TagGroup)).tag_group

    async def rename(self, tag_or_group_id: str, name: str) -> None:
        """Rename a tag or a group made by this app. Raises ValueError for a name outside 1 to 30 characters."""
        within("tag_name", name)
        await self._caller.post("/cgi-bin/externalcontact/edit_corp_tag", {"id": tag_or_group_id, "name": name}, Done)

    async def delete(self, tag_ids: Sequence[str] = (), *, group_ids: Sequence[str] = ()) -> None:
        """Delete tags or whole groups made by this app; an emptied group disappears. Raises ValueError for nothing."""
        await self._caller.post("/cgi-bin/externalcontact/del_corp_tag", _some_ids(tag_ids, group_ids), Done)

    async def mark(
        self, userid: str, external_userid: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """Put tags on, and take tags off, one employee's customer. One call at a time for the same pair.

        Raises ValueError for nothing to do, or a tag that would be put on and taken off.
        """
        if not (add or remove) or set(add) & set(remove):
            raise ValueError("marking needs tags to add or to remove, and none in both")
        body: dict[str, Any] = {"userid": userid, "external_userid": external_userid}
        body |= {name: list(dict.fromkeys(ids)) for name, ids in (("add_tag", add), ("remove_tag", remove)) if ids}
        await self._caller.post("/cgi-bin/externalcontact/mark_tag", body, Done)

    async def strategy_groups(
        self, strategy_id: int = 0, *, tag_ids: Sequence[str] = (), group_ids: Sequence[str] = ()
    ) -> tuple[CorpTagGroup, ...]:
        """Groups of strategy tags, of one 规则组 or (0) of all."""
        body = _ids(tag_ids, group_ids) | ({"strategy_id": strategy_id} if strategy_id else {})
        return (await self._caller.post("/cgi-bin/externalcontact/get_strategy_tag_list", body, _TagGroups)).tag_group

    async def add_strategy(
        self, strategy_id: int, names: Sequence[str], *, group_name: str = "", group_id: str = ""
    ) -> CorpTagGroup:
        """Add strategy tags under a first-level 规则组; otherwise as `add`."""
        body = {"strategy_id": strategy_id} | _new(names, group_name, group_id)
        return (await self._caller.post("/cgi-bin/externalcontact/add_strategy_tag", body, _TagGroup)).tag_group

    async def rename_strategy(self, tag_or_group_id: str, name: str) -> None:
        """As `rename`, for strategy tags."""
        within("tag_name", name)
        body = {"id": tag_or_group_id, "name": name}
        await self._caller.post("/cgi-bin/externalcontact/edit_strategy_tag", body, Done)

    async def delete_strategy(self, tag_ids: Sequence[str] = (), *, group_ids: Sequence[str] = ()) -> None:
        """As `delete`, for strategy tags."""
        await self._caller.post("/cgi-bin/externalcontact/del_strategy_tag", _some_ids(tag_ids, group_ids), Done)


def _ids(tag_ids: Sequence[str], group_ids: Sequence[str]) -> dict[str, Any]:
    return {name: list(ids) for name, ids in (("tag_id", tag_ids), ("group_id", group_ids)) if ids}


def _some_ids(tag_ids: Sequence[str], group_ids: Sequence[str]) -> dict[str, Any]:
    ids = _ids(tag_ids, group_ids)
    if not ids:
        raise ValueError("deleting needs a tag or a group")
    return ids


def _new(names: Sequence[str], group_name: str, group_id: str) -> dict[str, Any]:
    if bool(group_name) == bool(group_id):
        raise ValueError("tags are added to a group: its name or its id")
    within("tags_added", names)
    for name in (*names, *([group_name] if group_name else [])):
        within("tag_name", name)
    group = {"group_id": group_id} if group_id else {"group_name": group_name}
    return group | {"tag": [{"name": name} for name in dict.fromkeys(names)]}
