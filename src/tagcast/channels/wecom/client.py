"""企业微信: `https://qyapi.weixin.qq.com`. Source: developer.work.weixin.qq.com, pages as of 2023-12 to 2026-09.

A mass message is a task here: the platform sends nothing until each employee confirms, and results are polled.
"""

from tagcast.channels.calls import Caller, Token, TokenAnswer, TokenSource
from tagcast.channels.wecom.acquisition import Acquisition
from tagcast.channels.wecom.customers import Customers
from tagcast.channels.wecom.groups import Groups
from tagcast.channels.wecom.handover import Handover
from tagcast.channels.wecom.ids import Ids
from tagcast.channels.wecom.mass import Mass
from tagcast.channels.wecom.media import Media
from tagcast.channels.wecom.messages import Messages
from tagcast.channels.wecom.moments import Moments
from tagcast.channels.wecom.statistics import Statistics
from tagcast.channels.wecom.tags import Tags
from tagcast.channels.wecom.ways import Ways
from tagcast.channels.wecom.welcome import Welcome
from tagcast.kit.http import Transport


async def get_token(transport: Transport, base_url: str, corpid: str, secret: str) -> Token:
    """Fetch the app's access token. Raises `ChannelError`."""
    query = {"corpid": corpid, "corpsecret": secret}
    answer = await Caller(transport, base_url, "wecom", None).get("/cgi-bin/gettoken", TokenAnswer, query=query)
    return Token(answer.access_token, answer.expires_in)


class WecomClient:
    """Calls of one 企业微信 app, by family. Every method raises `ChannelError`; none repeats a call.

    What a call cannot take is a ValueError before anything is sent.
    """

    def __init__(self, transport: Transport, base_url: str, token: TokenSource) -> None:
        caller = Caller(transport, base_url, "wecom", token)
        self.customers = Customers(caller)
        self.tags = Tags(caller)
        self.mass = Mass(caller)
        self.groups = Groups(caller)
        self.moments = Moments(caller)
        self.ways = Ways(caller)
        self.welcome = Welcome(caller)
        self.acquisition = Acquisition(caller)
        self.statistics = Statistics(caller)
        self.messages = Messages(caller)
        self.media = Media(caller)
        self.ids = Ids(caller)
        self.handover = Handover(caller)
