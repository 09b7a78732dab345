"""腾讯广告: custom audiences, as `https://api.e.qq.com/v3.0` takes them."""

from tagcast.channels.ads.client import AdsClient, Audience, AudienceFile, AudienceStatus, FileStatus
from tagcast.channels.ads.hashing import IdKind, hash_file

__all__ = ["AdsClient", "Audience", "AudienceFile", "AudienceStatus", "FileStatus", "IdKind", "hash_file"]
