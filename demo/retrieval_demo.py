"""Finds images by texts and texts by images: ``xdet index`` and ``xdet search`` in one.

python demo/retrieval_demo.py photos --index photos.index --text "a dog on a beach" --model NAME --weights FILE
"""

import sys

from xdet.cli.commands.retrieval import main
from xdet.cli.running import run_program

if __name__ == '__main__':
    sys.exit(run_program(main))
