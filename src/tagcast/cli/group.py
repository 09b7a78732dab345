"""`tagcast group`: WeCom group chats, and invitations to them made for the holders of a tag."""

import asyncio
from typing import Annotated, cast

import typer

from tagcast import access, accounts, groups, tags
from tagcast.cli.account import which
from tagcast.cli.frame import Frame, actor, plain
from tagcast.cli.tags import find_tag

app = typer.Typer(no_args_is_help=True, help="Group chats 客户群: sync, list, invite the holders of a tag, who joined.")

Which = Annotated[str, typer.Argument(help="The wecom account's name or number.")]
Number = Annotated[int, typer.Argument(help="The invitation's number.")]


@app.command()
def sync(ctx: typer.Context, account: Which) -> None:
    """Read an account's group chats from the platform."""
    frame = Frame.of(ctx)
    with frame.runtime() as runtime, frame.progress("chats") as bar:
        workspace = access.only_workspace(runtime)
        with runtime.read(workspace, "sync") as work:
            found = accounts.get(work, which(account))
        result = asyncio.run(groups.sync(runtime, workspace, found.id, progress=bar))
    frame.emit(result)


@app.command()
def ls(ctx: typer.Context, account: Which) -> None:
    """The group chats of an account, as they were last read."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = groups.chats(work, accounts.get(work, which(account)).id)
        frame.table(
            [{**dict(cast("dict[str, object]", plain(chat))), "members": chat.contacts} for chat in found],
            ["chat_id", "name", "owner", "members", "strangers", "created_at", "dismissed_at"],
            none=(
                "No group chat is known. Read them with `tagcast group sync`; they are opened in the WeCom app.",
                "还没有客户群。请用 `tagcast group sync` 同步；客户群需在企业微信中创建。",
            ),
        )


@app.command()
def invite(
    ctx: typer.Context,
    account: Which,
    tag: Annotated[str, typer.Argument(help="The tag whose holders are to be invited: path or number.")],
    chat: Annotated[list[str], typer.Option(help="A group chat by name or id; up to five times.")],
    name: Annotated[str, typer.Option(help="What the invitation is called; else as the tag.")] = "",
    base_name: Annotated[str, typer.Option(help="What further chats are called; else as the invitation.")] = "",
    joined_tag: Annotated[str, typer.Option(help="A tag for those who join: path or number.")] = "",
    auto_create: Annotated[bool, typer.Option(help="Open another chat when all are full.")] = True,
    of_account: Annotated[
        str | None, typer.Option("--tags-of", help="Account of the tags; else the workspace's.")
    ] = None,
) -> None:
    """Make an invitation 标签建群: a QR code into group chats, for the holders of a tag; its address is printed."""
    frame = Frame.of(ctx)
    with frame.runtime() as runtime:
        workspace = access.only_workspace(runtime)
        with runtime.read(workspace, actor()) as work:
            found = accounts.get(work, which(account))
            holder = find_tag(work, tag, of_account)
            joined = find_tag(work, joined_tag, of_account).id if joined_tag else None
            chats = tuple(groups.find_chat(work, found.id, one).chat_id for one in chat)
        asked = groups.NewWay(
            account=found.id, tag=holder.id, name=name or holder.name, chats=chats, auto_create=auto_create,
            base_name=base_name, joined_tag=joined,
        )  # fmt: skip
        made = asyncio.run(groups.invite(runtime, workspace, actor(), asked))
    frame.say(
        "Send the code's address in a broadcast to the tag; see who joined with `tagcast group joined`.",
        "请把二维码地址群发给该标签的联系人；用 `tagcast group joined` 查看入群情况。",
    )
    frame.emit(made, of="group")


@app.command()
def ways(ctx: typer.Context, account: Which) -> None:
    """The invitations of an account."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = groups.ways(work, accounts.get(work, which(account)).id)
        rows = [{**dict(cast("dict[str, object]", plain(one))), "tag": tags.get(work, one.tag).path} for one in found]
        frame.table(
            rows,
            ["id", "name", "tag", "status", "created_at", "qr_code"],
            none=(
                "There is no invitation yet. Make one with `tagcast group invite`.",
                "还没有入群邀请。请用 `tagcast group invite` 创建。",
            ),
            of="group",
        )


@app.command()
def joined(ctx: typer.Context, way: Number) -> None:
    """What an invitation did: who holds its tag, who joined, who stays."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = groups.report(work, way)
    frame.emit(
        {
            "name": found.way.name, "status": found.way.status, "holders": found.holders, "ever_joined": found.joined,
            "holders_joined": found.holders_joined, "staying": found.staying, "strangers": found.strangers,
        },
        of="group",
    )  # fmt: skip


@app.command()
def revoke(ctx: typer.Context, way: Number) -> None:
    """Make an invitation's code stop working; who joined stays."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = groups.way(work, way)
    frame.confirm(
        f"Revoke the invitation {found.name}? Its code stops working for good.",
        f"要作废入群邀请“{found.name}”吗？二维码将永久失效。",
    )
    with frame.runtime() as runtime:
        asyncio.run(groups.revoke(runtime, access.only_workspace(runtime), actor(), way))
    frame.done(f"Revoked {found.name}.", f"已作废“{found.name}”。", revoked=found.name)
