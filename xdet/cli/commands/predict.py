"""Every task of a model on your images, with the words you type.

    xdet predict demo/photos/chelsea.jpg
    xdet predict demo/demo_scene.png --model scenes
    xdet predict street.jpg --model xdecoder_focal-t --weights FILE --things "car . person" --stuff "road"
    xdet predict street.jpg --model ... --task refseg --phrases "the red car . a person on the left"
    xdet predict street.jpg --model ... --task caption --num-beams 5
    xdet predict street.jpg --model ... --task refcaption --boxes "10 20 110 90; 0 0 50 50"
    xdet predict street.jpg --model ... --task vqa --questions "what color is the car?"
    xdet predict street.jpg --model ... --task classification --classes "street . beach . kitchen"
    xdet predict photos/ --model ... --task retrieval --texts "a dog on a beach"

Several phrases, questions or texts are separated by a full stop between spaces. Without --model, a small model that
comes with the package is used; --model photos and --model scenes choose one (docs/model_cards.md says what each knows).

Many images need no more memory than a few. A run that was interrupted, even killed, goes on with --resume.

Exit codes: 0 all images done, 1 some images of several failed, 2 wrong usage or nothing could be done.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from xdet.cli.chosen_model import add_model_options, open_model, refuse_unread_companions
from xdet.cli.errors import add_debug, exit_code
from xdet.cli.parsing import Parser, refuse_unread
from xdet.io.terminal import tell
from xdet.options import GENERATION, PROMPTS, REPORT, THRESHOLDS, Option, add_arguments


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('image', nargs='+', help='image files, folders (and the folders in them), patterns or URLs')
    parser.add_argument(
        '--task',
        default='panoptic',
        help='semantic, instance, panoptic (default), refseg, caption, refcaption, vqa, classification or retrieval',
    )
    model = parser.add_argument_group('model')
    add_model_options(model, companions=True)
    model.add_argument('--batch-size', type=int, default=1, help='images per forward pass (1)')
    prompts = [option for name, option in PROMPTS.items() if name not in THRESHOLDS]
    add_arguments(parser.add_argument_group('prompts (which of these depends on the task)'), prompts)
    add_arguments(parser.add_argument_group('what is reported'), THRESHOLDS.values())
    add_arguments(parser.add_argument_group('how captions are written (caption, refcaption)'), GENERATION.values())
    output = parser.add_argument_group('output')
    output.add_argument('--out-dir', default='outputs', help='folder for preds/ and vis/ (default: outputs)')
    add_arguments(output, REPORT.values())
    output.add_argument(
        '--resume', action='store_true', help='go on with the run in --out-dir that was interrupted, however it ended'
    )
    add_debug(output)
    return parser


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    """What the user gave, including prompts of tasks that the model brings along."""
    own = parser(prog)
    args, unknown = own.parse_known_args(argv)
    if unknown and args.model:
        add_arguments(own.add_argument_group('prompts of other packages'), _foreign_options(args.model))
    return own.parse_args(argv)


def _foreign_options(model: str) -> list[Option]:
    """Prompts of tasks that the model's config imports."""
    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.inference.inputs.options import known_prompts
        from xdet.model_zoo import find_config, load_config

        try:
            load_config(find_config(model))
        except (OSError, ValueError):
            return []  # building the model says it
        return [option for name, option in known_prompts().items() if name not in PROMPTS]


def run(args: argparse.Namespace) -> int:
    """Run the task, print what was found, say where the files lie; returns the exit code."""
    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.inference.asking import check_request
        from xdet.inference.inputs.options import known_prompts
        from xdet.inference.outputs.results import TASK_FORMATS

    _refuse_unread(args)
    images = args.image[0] if len(args.image) == 1 else args.image
    known = (*known_prompts(), *GENERATION, *REPORT)
    options = {name: value for name, value in vars(args).items() if name in known}
    check_request(images, args.task, args.out_dir, **options)  # before the model is built, which takes seconds
    inferencer = open_model(args)
    items = inferencer.stream(
        images,
        args.task,
        args.batch_size,
        args.out_dir,
        show_progress=True,
        resume=args.resume,
        print_result=True,
        **options,
    )
    counts = Counter('failed' if item.error else 'resumed' if item.resumed else 'done' for item in items)
    if not counts['done'] + counts['resumed']:
        return 2
    if counts['resumed']:
        tell(f'{counts["resumed"]} of {counts.total()} images were finished before')
    for key, wanted, what in (('vis', not args.no_save_vis, 'images'), ('preds', not args.no_save_pred, 'results')):
        if wanted:
            tell(f'{what} in {Path(args.out_dir) / key}')
    for name in args.formats.replace(',', ' ').split() if args.formats else ():
        tell(f'{name} in {Path(args.out_dir) / name}')
    if TASK_FORMATS[args.task].ranks:
        tell(f'rankings in {args.out_dir}')
    return 1 if counts['failed'] else 0


def _refuse_unread(args: argparse.Namespace) -> None:
    """Refuse options that mean nothing for the task, or beside others; those of a call are checked with it."""
    refuse_unread_companions(args)
    refuse_unread(args, args.no_save_vis, 'is about images, which --no-save-vis leaves out', 'color_by')
    why = 'adds to results, which --no-save-pred leaves out'
    refuse_unread(args, args.no_save_pred, why, 'oriented_boxes', 'polygons')


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point: every foreseeable error is one line on stderr and exit code 2."""
    args = parse_args(argv, prog)
    return exit_code(lambda: run(args), args.debug)
