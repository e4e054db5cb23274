"""Every task of a model on your images: the same as ``xdet predict`` (see ``xdet/cli/commands/predict.py``).

python demo/image_demo.py demo/photos/chelsea.jpg
"""

import sys

from xdet.cli.commands.predict import main

if __name__ == '__main__':
    sys.exit(main())
