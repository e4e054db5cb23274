"""Finds images by texts and texts by images: ``xdet index`` and ``xdet search`` in one (see ``xdet/cli/retrieval.py``).

python demo/retrieval_demo.py photos --index photos.index --text "a dog on a beach" --model NAME --weights FILE
"""

import sys

from xdet.cli.retrieval import main

if __name__ == '__main__':
    sys.exit(main())
