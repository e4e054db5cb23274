"""Every task of a model on your images: the same as ``xdet predict`` (see ``xdet/cli/commands/predict.py``).

python demo/image_demo.py demo/photos/chelsea.jpg
"""

import sys

from xdet.cli.commands.predict import main
from xdet.cli.running import run_program

if __name__ == '__main__':
    sys.exit(run_program(main))
