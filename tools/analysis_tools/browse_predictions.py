"""Look at predictions beside what is true: segments, phrases, captions, answers.

    python tools/analysis_tools/browse_predictions.py xdecoder_focal-nano_scenes-joint --num-images 8
    python tools/analysis_tools/browse_predictions.py CONFIG CHECKPOINT --benchmark folder-semantic:val@data/mine

Writes a picture per image and predictions.json with the texts.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from xdet.analysis.pictures import comparison, facts
from xdet.analysis.subject import Subject, add_choice_arguments, add_model_arguments
from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.cli.running import run_program
from xdet.io.terminal import tell
from xdet.io.writing import write_image, write_json
from xdet.visualization.drawing import picture_of


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split('\n')[0])
    add_model_arguments(parser)
    add_choice_arguments(parser, 20)
    parser.add_argument('--score-thr', type=float, default=0.3, help='draw instances and phrases from this score (0.3)')
    parser.add_argument('--out-dir', type=output_folder, default='outputs/predictions', help='(outputs/predictions)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(f'config {args.config}'):
        subject = Subject.of(args)
    from xdet.visualization import XDetLocalVisualizer  # slow to import

    visualizer = XDetLocalVisualizer()
    described = []
    with one_line_errors('predicting', ValueError, OSError):
        for position, (pixels, sample) in enumerate(subject.predictions()):
            sample = sample.cpu()
            picture = comparison(visualizer, picture_of(pixels, sample), sample, args.score_thr)
            stem = Path(str(sample.metainfo.get('img_path', 'image'))).stem
            path = args.out_dir / f'{stem}_{subject.images.indices[position]}.png'
            write_image(path, picture)
            described.append(dict(picture=path.name, **facts(sample)))
        write_json(args.out_dir / 'predictions.json', described, indent=1, ensure_ascii=False)
    tell(f'wrote {len(described)} pictures and predictions.json into {args.out_dir}')


if __name__ == '__main__':
    sys.exit(run_program(main))
