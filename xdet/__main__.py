"""``python -m xdet``: the same as the command ``xdet``."""

import sys

from xdet.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
