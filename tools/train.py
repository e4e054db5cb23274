"""Train a model: the same as ``xdet train`` (see ``xdet/cli/commands/train.py``).

python tools/train.py CONFIG
python tools/train.py CONFIG --weights official.pt --amp bf16
python tools/train.py CONFIG --resume
bash tools/dist_train.sh CONFIG 8
"""

import sys

from xdet.cli.commands.train import main
from xdet.cli.running import run_program

if __name__ == '__main__':
    sys.exit(run_program(main))
