"""Measure one model on several benchmarks: the same as ``xdet suite`` (see ``xdet/cli/commands/suite.py``).

python tools/zeroshot_suite.py --list
python tools/zeroshot_suite.py xdecoder_focal-t official.pt --data /data --skip-missing
SCRIPT=zeroshot_suite bash tools/dist_test.sh CONFIG CHECKPOINT 8 --protocol official
"""

import sys

from xdet.cli.commands.suite import agree, main
from xdet.cli.running import run_program

__all__ = ['agree', 'main']

if __name__ == '__main__':
    sys.exit(run_program(main))
