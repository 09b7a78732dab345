"""`python -m wechat_sandbox`."""

from wechat_sandbox.server import main

raise SystemExit(main())
