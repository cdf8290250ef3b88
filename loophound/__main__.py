"""`python -m loophound` is the command `loophound`."""

import sys

from loophound.cli import main

sys.exit(main())
