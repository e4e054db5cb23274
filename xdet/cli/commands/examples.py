"""Learns a class name from regions of images: "more of these".

    xdet examples mugs.safetensors --name "my mug" a.jpg b.jpg --boxes "10 20 110 90" --boxes "5 5 60 80"
    xdet examples mugs.safetensors --name "my mug" a.jpg --mask a_mask.png --not a.jpg --not-boxes "200 10 260 90"
    xdet predict photos/ --text-embeddings mugs.safetensors --classes "my mug" --background "not my mug"

Every image has its --boxes or its --mask, in their order. Names that the file has already stay in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from xdet.cli.chosen_model import add_model_options, open_model
from xdet.cli.errors import add_debug, program
from xdet.cli.parsing import Parser
from xdet.io.terminal import tell
from xdet.options import parse_boxes


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', help='file of names (.safetensors) to write or to add to')
    parser.add_argument('image', nargs='+', help='images that show objects of the class')
    parser.add_argument('--name', required=True, help='class name')
    parser.add_argument(
        '--boxes', type=parse_boxes, action='append', metavar='BOXES', help='of an image, "x1 y1 x2 y2; x1 y1 x2 y2"'
    )
    parser.add_argument('--mask', action='append', metavar='FILE', help='of an image, all but black is the object')
    parser.add_argument(
        '--not', nargs='+', dest='not_image', metavar='IMAGE', help='images that show what is not meant'
    )
    parser.add_argument('--not-boxes', type=parse_boxes, action='append', metavar='BOXES', help='of these, likewise')
    parser.add_argument('--not-mask', action='append', metavar='FILE', help='of these, likewise')
    parser.add_argument(
        '--name-share', type=float, default=0.0, help='how much the text of the name counts, from 0 (default) to 1'
    )
    add_model_options(parser)
    add_debug(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Learn the name, write the file and say what was found; returns the exit code."""
    from xdet.compat.quiet import quiet_imports

    shown = _per_image(args.image, args.boxes, args.mask, 'boxes', 'mask')
    not_shown: dict[str, Any] = {}
    if args.not_image:
        not_shown = _per_image(args.not_image, args.not_boxes, args.not_mask, 'not-boxes', 'not-mask')
    elif args.not_boxes or args.not_mask:
        raise ValueError('--not-boxes and --not-mask are about images; name them by --not')
    with quiet_imports():
        from xdet.inference.names.examples import check_rows_file

    check_rows_file(args.file)
    inferencer = open_model(args)
    example = inferencer.learn_example(
        args.name,
        args.image,
        **shown,
        not_images=args.not_image,
        **{f'not_{key}': value for key, value in not_shown.items()},
        name_share=args.name_share,
    )
    example.save(args.file)
    scores = ' '.join(f'{score:.2f}' for score in example.scores)
    tell(f"'{example.name}' is in {args.file}; scores of the regions: {scores}")
    if example.background is not None:
        tell(f"what is not meant is '{example.background}', to be given as --background")
    return 0


def _per_image(images: Sequence[str], boxes: Any, masks: Any, *flags: str) -> dict[str, Any]:
    """The regions of every image."""
    given = {
        key: value for key, value in dict(boxes=boxes, masks=masks and [[mask] for mask in masks]).items() if value
    }
    if len(given) != 1:
        raise ValueError(f'give either --{flags[0]} or --{flags[1]}, once per image')
    ((key, values),) = given.items()
    if len(values) != len(images):
        raise ValueError(
            f'{len(images)} images but --{flags[key == "masks"]} {len(values)} times; needed is one for each'
        )
    return {key: values}


main = program(parser, run)
