"""The images where a model does worst: sheets of truth beside prediction, and the scores of all images.

    python tools/analysis_tools/failure_cases.py xdecoder_focal-nano_scenes-joint --num-images 200
    python tools/analysis_tools/failure_cases.py CONFIG CHECKPOINT --by referring/mIoU --worst 24

Writes scores.json (all pictures, worst first), the sheets worst_<n>.png, and what is on them into pictures/.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from xdet.analysis.failures import ImageScorer, Worst, ranked, sheets
from xdet.analysis.pictures import FIELDS, comparison
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
    add_choice_arguments(parser)
    parser.add_argument('--by', metavar='VALUE', help='of the metrics, such as panoptic/PQ (default: the first usable)')
    parser.add_argument('--worst', type=int, default=12, metavar='N', help='how many to draw (12)')
    parser.add_argument('--per-sheet', type=int, default=6, metavar='N', help='pictures on a sheet (6)')
    parser.add_argument('--out-dir', type=output_folder, default='outputs/failures', help='(outputs/failures)')
    args = parser.parse_args()
    if args.worst < 1 or args.per_sheet < 1:
        parser.error('--worst and --per-sheet must be at least 1')
    return args


def main() -> None:
    args = parse_args()
    with one_line_errors(f'config {args.config}'):
        subject = Subject.of(args)
        scorer = ImageScorer(subject.evaluator(), args.by)
    from xdet.visualization import XDetLocalVisualizer  # slow to import

    visualizer, worst, entries = XDetLocalVisualizer(), Worst(args.worst), []
    with one_line_errors('scoring', ValueError, OSError):
        for index, (pixels, sample) in enumerate(subject.predictions()):
            values = scorer(sample)
            meta = sample.metainfo
            name = str(meta.get('img_path', meta.get('img_id', index)))
            entries.append(dict(img_path=name, img_id=str(meta.get('img_id', index)), **values))
            if worst.wants(values[scorer.by]):
                fields = FIELDS.get(scorer.by.split('/')[0])
                picture = comparison(visualizer, picture_of(pixels, sample), sample.cpu(), fields=fields)
                worst.add(values[scorer.by], index, picture)
        found = dict(by=scorer.by, images=ranked(entries, scorer.by))
        write_json(args.out_dir / 'scores.json', found, indent=1, ensure_ascii=False)
        drawn = worst.pictures()
        for place, (index, picture) in enumerate(drawn.items(), start=1):
            stem = Path(entries[index]['img_path']).stem
            write_image(args.out_dir / 'pictures' / f'{place:03d}_{stem}.png', picture)
        scores = [entries[index][scorer.by] for index in drawn]
        names = [entries[index]['img_path'] for index in drawn]
        title = f'{Path(args.config).stem}: lowest {scorer.by} of {len(entries)} images'
        for page, sheet in enumerate(sheets(title, list(drawn.values()), scores, names, args.per_sheet), start=1):
            write_image(args.out_dir / f'worst_{page}.png', sheet)
    unscored = sum(image[scorer.by] is None for image in found['images'])
    note = f' ({unscored} images have no such value)' if unscored else ''
    tell(f'lowest {scorer.by}: {", ".join(f"{score:.1f}" for score in scores)}{note}; wrote {args.out_dir}')


if __name__ == '__main__':
    sys.exit(run_program(main))
