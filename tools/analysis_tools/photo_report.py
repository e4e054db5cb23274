"""What a model of photographs can do: all tasks on labelled photographs, synonyms, other sets and the generated world.

    python tools/analysis_tools/photo_report.py xdecoder_lite0-nano_joint-photos WEIGHTS --scenes 500
    python tools/analysis_tools/photo_report.py CONFIG WEIGHTS --data-root OTHER/photos --split test

The folder has panoptic_<split>.json, panoptic/<split>/, images/<split>/ and labels/<split>/ (8-bit labels, 0 for
background, 255 ignored). Every photograph is encoded once. Writes report.json and report.md; with --pictures also every
25th photograph (examples/) and those where the model does worst (worst_<value>_<n>.png, scores.json).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xdet.analysis import photo_report
from xdet.analysis.failures import ImageScorer, Worst, ranked, sheets
from xdet.analysis.pictures import FIELDS, comparison
from xdet.analysis.subject import add_config_arguments, build_model, read_config
from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.cli.running import run_program
from xdet.compat.checkpoint import weights_sha256
from xdet.io.terminal import tell
from xdet.io.writing import write_image, write_json, write_text
from xdet.visualization.drawing import picture_of

WORST_BY = ('panoptic/PQ', 'referring/mIoU', 'vqa/accuracy')


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split('\n')[0])
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='weights: a file or a URL')
    parser.add_argument('--device', default='auto', help="'auto', 'cpu', 'cuda', ...")
    parser.add_argument('--data-root', metavar='DIR', help="folder of the photographs (default: the config's)")
    parser.add_argument('--split', default='val', help='(val)')
    parser.add_argument('--every', type=int, default=1, metavar='N', help='only every n-th photograph')
    parser.add_argument('--num-images', type=int, metavar='N', help='at most so many photographs (all)')
    parser.add_argument(
        '--synonyms',
        nargs='*',
        metavar='CLASS=WORD,WORD',
        help='words to try in place of class names; without any: none (default: a list of 17)',
    )
    parser.add_argument('--scenes', type=int, default=0, metavar='N', help='also so many scenes of the generated world')
    parser.add_argument('--sets', nargs='+', default=[], metavar='NAME', help="also these of the config's test_sets")
    parser.add_argument('--pictures', action='store_true', help='draw examples and failures')
    parser.add_argument('--draw-every', type=int, default=25, metavar='N', help='photographs to draw as examples (25)')
    parser.add_argument('--examples', type=int, default=10, metavar='N', help='at most so many of them (10)')
    parser.add_argument('--worst', type=int, default=6, metavar='N', help='failures to draw by each value (6)')
    parser.add_argument('--worst-by', nargs='+', default=WORST_BY, metavar='VALUE', help=' '.join(WORST_BY))
    parser.add_argument('--out-dir', type=output_folder, default='outputs/photo_report', help='(outputs/photo_report)')
    args = parser.parse_args()
    if min(args.draw_every, args.examples, args.worst) < 1:
        parser.error('--draw-every, --examples and --worst must be at least 1')
    return args


def synonyms_of(pairs: list[str] | None, classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Words by class from ``CLASS=WORD,WORD``; without any, those that are known for the classes.

    Raises:
        ValueError: One has another form.
    """
    if pairs is None:
        return {word: own for word, own in photo_report.SYNONYMS.items() if word in classes}
    found = {}
    for pair in pairs:
        name, _, words = pair.partition('=')
        listed = tuple(word.strip() for word in words.split(',') if word.strip())
        if not name.strip() or not listed:
            raise ValueError(f"--synonyms '{pair}' is not CLASS=WORD,WORD")
        found[name.strip()] = listed
    return found


class Gallery:
    """Draws photographs by their position, and those with the lowest values."""

    def __init__(self, photographs: photo_report.Photographs, args: argparse.Namespace) -> None:
        from xdet.visualization import XDetLocalVisualizer  # slow to import

        self.args, self.visualizer = args, XDetLocalVisualizer()
        metrics = [metric for task in photographs.tasks for metric in photo_report.METRICS[task]]
        self.scorers = {
            by: ImageScorer(photo_report.evaluator_of(metrics, photographs.meta), by) for by in args.worst_by
        }
        self.worst = {by: Worst(args.worst) for by in args.worst_by}
        self.examples: dict[int, Any] = {}
        self.names: dict[int, str] = {}
        self.scores: list[dict[str, Any]] = []

    def add(self, index: int, pixels: Any, sample: Any) -> None:
        """Look at one photograph."""
        sample = sample.cpu()
        self.names[index] = Path(str(sample.metainfo.get('img_path', index))).stem
        image = picture_of(pixels, sample)
        if index % self.args.draw_every == 0 and len(self.examples) < self.args.examples:
            self.examples[index] = comparison(self.visualizer, image, sample)
        row: dict[str, Any] = dict(image=self.names[index], index=index)
        for by, scorer in self.scorers.items():
            try:
                row[by] = scorer(sample)[by]
            except ValueError:
                if scorer._metrics is None:
                    raise
                row[by] = math.nan  # an image without a question, say
            if self.worst[by].wants(row[by]):
                drawn = comparison(self.visualizer, image, sample, fields=FIELDS.get(by.split('/')[0]))
                self.worst[by].add(row[by], index, drawn)
        self.scores.append(row)

    def write(self, folder: Path) -> None:
        """Write sheets, and the scores of all photographs, worst first by the first value."""
        for index, picture in self.examples.items():
            write_image(folder / 'examples' / f'{index:04d}_{self.names[index]}.png', picture)
        for by, worst in self.worst.items():
            drawn = worst.pictures()
            of_index = {row['index']: row[by] for row in self.scores}
            title, stem = f'lowest {by} of {len(self.scores)} images', by.replace('/', '-')
            scores, names = [of_index[index] for index in drawn], [self.names[index] for index in drawn]
            for page, sheet in enumerate(sheets(title, list(drawn.values()), scores, names), start=1):
                write_image(folder / f'worst_{stem}_{page}.png', sheet)
        first = next(iter(self.worst))
        write_json(folder / 'scores.json', dict(by=first, images=ranked(self.scores, first)), indent=1)


def main() -> None:
    args = parse_args()
    with one_line_errors(f'config {args.config}'):
        cfg = read_config(args)
        sets = cfg.get('test_sets') or {}
        unknown = [name for name in args.sets if name not in sets]
        if unknown:
            raise ValueError(f'--sets {unknown[0]}: the test_sets of the config are {", ".join(sets) or "none"}')
        if args.scenes:
            scenes = photo_report.scenes(cfg, args.scenes)
        dataset = photo_report.photo_dataset(cfg, args.data_root, args.split)
        images = photo_report.chosen(dataset, args.every, args.num_images)
        synonyms = synonyms_of(args.synonyms, images.dataset.metainfo['classes'])
        model = build_model(cfg, args)
        photographs = photo_report.Photographs(model, images, synonyms)
        gallery = Gallery(photographs, args) if args.pictures else None
    with one_line_errors('measuring', ValueError, OSError):
        for index, pixels, sample in photographs.run():
            if gallery is not None:
                gallery.add(index, pixels, sample)
        values = photographs.values()
        found: dict[str, Any] = dict(
            config=Path(args.config).stem,
            weights=Path(args.checkpoint).name,
            sha256=weights_sha256(args.checkpoint),
            data=dataset['data_root'],
            split=args.split,
            classes=list(photographs.meta['classes']),
            photographs=values,
            synonyms=photographs.synonym_values(values),
        )
        if args.scenes:
            found['scenes'] = photo_report.measure_set(model, *scenes)
        found['sets'] = {
            name: photo_report.measure_set(model, dict(sets[name]['dataset'], test_mode=True), sets[name]['metrics'])
            for name in args.sets
        }
        table = photo_report.report(found)
        write_json(args.out_dir / 'report.json', photo_report.without_nan(found), indent=1)
        write_text(args.out_dir / 'report.md', table)
        if gallery is not None:
            gallery.write(args.out_dir)
    tell(*table.split('\n'))
    tell(f'wrote {args.out_dir}')


if __name__ == '__main__':
    sys.exit(run_program(main))
