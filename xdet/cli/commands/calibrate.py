"""Learns from a few labelled images when a name or phrase is not there.

    xdet calibrate val.json --images photos --model NAME --weights FILE
    xdet calibrate refs.json --images photos --model ... --alpha 0.1 --holdout 0.5

DATA is a COCO JSON of instances or panoptic segments (all of its categories are asked for; what is not annotated counts
as absent), one of referring expressions, or a list [{"image": "a.jpg", "present": ["cat"], "absent": ["dog"]}, ...],
for phrases with "kind": "phrases" in every entry. The threshold keeps the share of absent names that are reported at
most at ALPHA, for images like these (docs/presence.md). It is written beside the weights, where predictions find it.

Exit codes: 0 done, 2 wrong usage or nothing could be done.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from xdet.cli.chosen_model import add_model_options, chosen
from xdet.cli.errors import add_debug, program
from xdet.cli.parsing import Parser, refuse_unread
from xdet.cli.places import output_file
from xdet.io.terminal import progress, tell
from xdet.options import TextsAction


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', help='labelled images: COCO JSON, or a list of present and absent names')
    parser.add_argument('--images', metavar='DIR', help='folder of the images (default: beside DATA)')
    parser.add_argument('--alpha', type=float, default=0.05, help='greatest share of absent names reported (0.05)')
    parser.add_argument('--task', help='whose own rule the table compares with (default: panoptic, or refseg)')
    parser.add_argument(
        '--background', nargs='+', action=TextsAction, metavar='TEXT', help='names that compete and are not reported'
    )
    parser.add_argument(
        '--holdout', type=float, default=0.0, metavar='SHARE', help='keep this share of images to check the rate on (0)'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the choice of images and of absent phrases (0)')
    add_model_options(parser, untrained=False)
    parser.add_argument('--out', type=output_file, metavar='FILE', help='(WEIGHTS.calibration.json)')
    add_debug(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Look at the images, learn, print a table, write the file; returns the exit code."""
    from xdet.compat.quiet import quiet_imports
    from xdet.io.schema import number
    from xdet.io.writing import check_place

    with quiet_imports():
        from xdet.apis import XDecoderInferencer
        from xdet.inference.names import calibration as rules
        from xdet.structures import split_prompts

    number('alpha', args.alpha, float, 0, 1)
    number('holdout', args.holdout, float, 0, 0.9)
    kind, cases = rules.read_cases(args.data, args.images, args.seed)
    chance = 'is for --holdout and for phrases; nothing else is left to chance'
    refuse_unread(args, kind == 'names' and not args.holdout, chance, 'seed')
    refuse_unread(args, kind != 'names', f'is for class names; {args.data} is about {kind}', 'background')
    if args.task is not None and args.task not in rules.KINDS[kind]:
        raise ValueError(f"task is '{args.task}'; for {kind} accepted are {', '.join(rules.KINDS[kind])}")
    background = split_prompts(args.background)
    missing = [case.image for case in cases if '://' not in case.image and not Path(case.image).is_file()]
    if missing:
        raise FileNotFoundError(f"{args.data}: image '{missing[0]}' does not exist; say where they are by --images")
    random.Random(args.seed).shuffle(cases)
    held = round(args.holdout * len(cases))
    # Before the model looks at anything: are there enough images?
    rules.conformal_threshold([[0.0] for case in cases[held:] if case.absent], args.alpha)
    inferencer = XDecoderInferencer(**chosen(args))
    out = args.out or (rules.path_beside(inferencer.origin.weights or '') if inferencer.embedded is None else None)
    if out is None:
        what = 'come with the package' if inferencer.embedded is not None else 'lie at an address'
        raise ValueError(f'these weights {what}; say where to write the calibration by --out FILE')
    check_place(out)
    findings = rules.look(inferencer, kind, progress(cases, 'Looking'), args.task, background)
    threshold = rules.learn(kind, findings[held:], args.alpha, background)
    tell(
        f'{threshold.images} images with {threshold.absent} absent {kind}: threshold of presence '
        f'{threshold.presence:.4g}, so that at most {100 * args.alpha:g} % of the absent are reported'
    )
    _print_table(findings[:held] or findings[held:], threshold.presence, bool(held))
    known = rules.Calibration.load(out) if Path(out).is_file() else rules.Calibration(None)
    sha256 = inferencer.origin.weights_sha256
    if known.weights_sha256 != sha256:
        known = rules.Calibration(sha256)
    known.with_threshold(kind, threshold).save(out)
    tell(f'written to {out}')
    return 0


def _print_table(findings: list, presence: float, held_out: bool) -> None:
    """Shares that are reported with and without the threshold."""
    from xdet.inference.names import calibration as rules

    own = rules.measure(findings)
    rows = [('own rule of the task', own), (f'presence above {presence:.4g}', rules.measure(findings, presence))]
    if own['recall'] == own['recall'] and own['recall'] > 0:
        equal = rules.presence_at_recall(findings, own['recall'])
        rows.append((f'presence above {equal:.4g}, equal recall', rules.measure(findings, equal)))
    tell(f'on the {len(findings)} images {"held out" if held_out else "it was learned from"}:')
    tell(f'  {"":<36}{"present found":>14}{"absent found":>14}{"mean of images":>16}')
    for name, shares in rows:
        values = (shares['recall'], shares['false'], shares['false_per_image'])
        cells = [f'{100 * value:.2f} %' for value in values]
        tell(f'  {name:<36}{cells[0]:>14}{cells[1]:>14}{cells[2]:>16}')


main = program(parser, run)
