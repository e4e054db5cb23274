"""Is a model as often right as it says? Reliability of the names of pixels, and a temperature that mends it.

    python tools/analysis_tools/reliability.py xdecoder_focal-nano_scenes-joint --num-images 60
    python tools/analysis_tools/reliability.py CONFIG CHECKPOINT --calibration CHECKPOINT.calibration.json

Every other image serves to learn the temperature, the others to measure. Writes reliability.md,
reliability.csv and reliability.png. With --calibration the temperature is added to that file, and predictions with
--uncertainty use it for this vocabulary.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from xdet.analysis.reliability import HEADER, collect, draw_reliability, fit_temperature, reliability
from xdet.analysis.subject import Subject, add_choice_arguments, add_model_arguments
from xdet.analysis.tables import markdown, write_table
from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.cli.running import run_program
from xdet.inference.names.calibration import Calibration
from xdet.inference.outputs.provenance import Origin
from xdet.io.terminal import tell
from xdet.model_zoo import resolve_model


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split('\n')[0])
    add_model_arguments(parser)
    add_choice_arguments(parser)
    parser.add_argument('--pixels', type=int, default=2000, metavar='N', help='most pixels of an image (2000)')
    parser.add_argument('--calibration', type=Path, metavar='FILE', help='add the temperature to this file')
    parser.add_argument('--out-dir', type=output_folder, default='outputs/reliability', help='(outputs/reliability)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(f'config {args.config}'):
        subject = Subject.of(args)
    with one_line_errors('comparing', ValueError, OSError, KeyError):
        vocabulary = subject.vocabulary
        known = Calibration(None)
        if args.calibration is not None:
            weights = resolve_model(args.config, args.checkpoint, random_weights=False).weights
            sha256 = Origin(args.config, weights).weights_sha256
            known = Calibration.load(args.calibration) if args.calibration.is_file() else Calibration(sha256)
            if known.weights_sha256 != sha256:
                raise ValueError(f'{args.calibration} belongs to other weights; give another file')
        evidence = collect(subject, args.pixels)
        learning, measured = evidence[::2], evidence[1::2] or evidence
        temperature = fit_temperature(learning)
        found = {'before': reliability(measured), 'after': reliability(measured, temperature)}
        rows = [found['before'].row('before', 1.0), found['after'].row('after', temperature)]
        write_table(args.out_dir / 'reliability', HEADER, rows)
        title = f'{Path(args.config).stem}: {len(measured)} images, temperature {temperature:.2f} of {len(learning)}'
        draw_reliability(found, args.out_dir / 'reliability.png', title)
        if args.calibration is not None:
            known.with_temperature(vocabulary, temperature).save(args.calibration)
    tell(*markdown(HEADER, rows).split('\n'))
    tell('', f'{title}; wrote reliability.md, reliability.csv and reliability.png into {args.out_dir}')


if __name__ == '__main__':
    sys.exit(run_program(main))
