"""A local imitation of WeChat's public APIs, with a population whose reaction to messages is known.

It imports nothing of the product it serves; `docs/reference/sandbox.md` describes it. `main(argv)` runs it.
"""

from wechat_sandbox.server import main

__all__ = ["main"]
