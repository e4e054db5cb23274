"""Many images by several workers on Ray: the same as ``xdet bulk`` (see ``xdet/cli/commands/bulk.py``).

python tools/ray_predict.py photos --out-dir found --task panoptic --workers 2
python tools/ray_predict.py "shards/{00000..00012}.tar" --out-dir vectors --task embedding --workers 8 --address auto
"""

import sys

from xdet.cli.commands.bulk import main
from xdet.cli.running import run_program

if __name__ == '__main__':
    sys.exit(run_program(main))
