"""Removes or replaces what a phrase means in an image: the same as ``xdet edit`` (see ``xdet/cli/commands/edit.py``).

python demo/image_edit_demo.py street.jpg --phrase "the red car" --pipeline FOLDER --model NAME --weights FILE
"""

import sys

from xdet.cli.commands.edit import main
from xdet.cli.running import run_program

if __name__ == '__main__':
    sys.exit(run_program(main))
