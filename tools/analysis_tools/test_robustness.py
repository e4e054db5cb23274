"""How much results depend on the size in which the network sees images: the test of a config at several sizes.

    python tools/analysis_tools/test_robustness.py xdecoder_focal-nano_scenes-joint --factors 0.5 0.75 1 1.5 2
    python tools/analysis_tools/test_robustness.py CONFIG CHECKPOINT --benchmark ade20k-150@data/ade --num-images 200

Writes resizing.md, resizing.csv, resizing.json and resizing.png. Sizes of the test pipeline's resizing steps are
multiplied by every factor; the results are compared in the original size of the images, as always.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from xdet.analysis.robustness import draw_curves, robustness_table, scaled_dataset
from xdet.analysis.subject import (
    Subject,
    add_choice_arguments,
    add_model_arguments,
    build_dataset,
    evaluate_each,
    loader_settings,
)
from xdet.analysis.tables import markdown, write_table
from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.cli.running import run_program
from xdet.io.terminal import tell
from xdet.io.writing import write_json

FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split('\n')[0])
    add_model_arguments(parser)
    add_choice_arguments(parser)
    parser.add_argument('--factors', type=float, nargs='+', default=FACTORS, help='(0.5 0.75 1 1.5 2)')
    parser.add_argument('--values', nargs='+', metavar='NAME', help='such as panoptic/PQ (default: all)')
    parser.add_argument('--out-dir', type=output_folder, default='outputs/robustness', help='(outputs/robustness)')
    return parser.parse_args()


def measure(subject: Subject, factor: float, args: argparse.Namespace) -> dict[str, float]:
    """Values of all metrics at one size."""
    dataset = scaled_dataset(loader_settings(subject.cfg).dataset, factor)
    images = build_dataset(dataset, args.num_images, args.shuffle)
    evaluator = subject.evaluator()
    for _, sample in subject.predictions(images, f'Size x {factor:g}'):
        evaluator.process(data_samples=[sample], data_batch=None)
    values, problems = evaluate_each(evaluator, len(images))
    for problem in problems:
        tell(f'left out: {problem}')
    return values


def main() -> None:
    args = parse_args()
    with one_line_errors(f'config {args.config}'):
        subject = Subject.of(args)
    with one_line_errors('measuring', ValueError, OSError):
        results = {factor: measure(subject, factor, args) for factor in sorted(set(args.factors))}
        offered = list(next(iter(results.values())))
        unknown = [name for name in args.values or () if name not in offered]
        if unknown:
            raise ValueError(f'--values {unknown[0]}: the metrics give {", ".join(offered)}')
        keys = args.values or offered
        header, rows = robustness_table(results, keys)
        write_table(args.out_dir / 'resizing', header, rows)
        write_json(args.out_dir / 'resizing.json', results, indent=1)
        title = f'{Path(args.config).stem}, {len(subject.images)} images'
        draw_curves(results, keys, args.out_dir / 'resizing.png', title)
    tell(*markdown(header, rows).split('\n'))
    tell('', f'wrote resizing.md, .csv, .json and .png into {args.out_dir}')


if __name__ == '__main__':
    sys.exit(run_program(main))
