"""Measure a model on a test set or on benchmarks: the same as ``xdet test`` (see ``xdet/cli/commands/test.py``).

python tools/test.py CONFIG CHECKPOINT
python tools/test.py xdecoder_focal-t_8xb4-50e_coco-panoptic --weights official.pt --show-dir pictures --format coco
python tools/test.py xdecoder_focal-t official.pt --benchmark ade20k-150 coco-2017 --protocol official
bash tools/dist_test.sh CONFIG CHECKPOINT 8
"""

import sys

from xdet.cli.commands.test import main
from xdet.cli.running import run_program

if __name__ == '__main__':
    sys.exit(run_program(main))
