"""`python -m tagcast` is `tagcast`."""

import sys

from tagcast.cli import main

sys.exit(main())
