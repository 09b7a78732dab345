"""`python -m tagcast.cli` is `tagcast`."""

import sys

from tagcast.cli.main import main

sys.exit(main())
