"""公众号 and 服务号: `https://api.weixin.qq.com`, one attribute for each family of endpoints."""

from collections.abc import Callable
from datetime import datetime

from tagcast.channels.calls import Answer, Caller, TokenSource
from tagcast.channels.official.articles import Drafts, Publishing
from tagcast.channels.official.mass import Mass
from tagcast.channels.official.media import Media
from tagcast.channels.official.notices import CustomerMessages, Subscriptions
from tagcast.channels.official.people import People
from tagcast.channels.official.qr import QrCodes
from tagcast.channels.official.quota import Quotas
from tagcast.channels.official.statistics import Statistics
from tagcast.channels.official.tags import Blacklist, Tags
from tagcast.channels.official.templates import Templates
from tagcast.kit import clock
from tagcast.kit.http import Transport


class _Addresses(Answer):
    ip_list: tuple[str, ...]


class OfficialClient:
    """Calls of one 公众号 or 服务号. Every method raises `ChannelError`, and ValueError before a call that the
    platform's documented limits forbid; none repeats a call. `now` tells which days are over for the statistics; it is
    given where the platform's clock is another one, as in a sandbox.
    """

    def __init__(
        self, transport: Transport, base_url: str, token: TokenSource, *, now: Callable[[], datetime] = clock.now
    ) -> None:
        self._caller = caller = Caller(transport, base_url, "official", token)
        self.tags = Tags(caller)
        self.blacklist = Blacklist(caller)
        self.people = People(caller)
        self.media = Media(caller)
        self.drafts = Drafts(caller)
        self.publishing = Publishing(caller)
        self.mass = Mass(caller)
        self.templates = Templates(caller)
        self.subscriptions = Subscriptions(caller)
        self.customer_messages = CustomerMessages(caller)
        self.statistics = Statistics(caller, now)
        self.qr = QrCodes(caller)
        self.quota = Quotas(caller)

    async def callback_addresses(self) -> tuple[str, ...]:
        """The addresses and networks (CIDR) from which the platform sends callbacks."""
        return (await self._caller.get("/cgi-bin/getcallbackip", _Addresses)).ip_list

    async def api_addresses(self) -> tuple[str, ...]:
        """The addresses of the platform's API, for a firewall (no page that was seen confirms the shape)."""
        return (await self._caller.get("/cgi-bin/get_api_domain_ip", _Addresses)).ip_list
