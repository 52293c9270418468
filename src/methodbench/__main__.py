"""``python -m methodbench`` is ``methodbench``, run in a fork of a warm process where there is one."""

import sys

from methodbench.warm import forwarded

code = forwarded(sys.argv[1:])
if code is None:
    from methodbench.cli import main

    code = main()
sys.exit(code)
