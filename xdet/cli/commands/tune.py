"""Learns tokens before class names or weights of their templates; no weight of the model changes, and other names mean
what they meant.

    xdet tune train.json kitten.safetensors --images photos --name "kitten=cat" --limit 20
    xdet tune my_data names.safetensors --name cat --name dog --learn templates
    xdet predict photos/ --text-embeddings kitten.safetensors --classes "kitten . dog"

DATA are annotated images in a format that xdet convert reads. A name is one of its classes, or NEW=CLASS for another
name of a class. Names that the file has already stay in it.
"""

from __future__ import annotations

import argparse

from xdet.cli.chosen_model import add_model_options, open_model
from xdet.cli.errors import add_debug, program
from xdet.cli.parsing import Parser, refuse_unread
from xdet.io.terminal import tell


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', help='annotated images: file or folder')
    parser.add_argument('file', help='file of names (.safetensors) to write or to add to')
    parser.add_argument('--name', action='append', required=True, metavar='NAME', help='class, or NEW=CLASS')
    parser.add_argument('--images', metavar='DIR', help='folder of the images (default: where the format has it)')
    parser.add_argument('--limit', type=int, metavar='N', help='at most so many images with these classes (all)')
    parser.add_argument('--tokens', type=int, default=4, help='learned tokens of every name (4)')
    parser.add_argument(
        '--learn',
        choices=('tokens', 'templates'),
        default='tokens',
        help='tokens before the name, or how much each of the templates counts (tokens)',
    )
    parser.add_argument('--steps', type=int, default=100, help='of the optimizer (100)')
    add_model_options(parser)
    add_debug(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Learn, write the file and say from how much; returns the exit code."""
    from xdet.compat.quiet import quiet_imports

    refuse_unread(args, args.learn != 'tokens', 'is for --learn tokens', 'tokens')
    names = {}
    for text in args.name:
        name, _, of = text.partition('=')
        if not name.strip() or ('=' in text and not of.strip()):
            raise ValueError(f"--name is '{text}'; accepted are a class, or NEW=CLASS")
        names[name.strip()] = of.strip() or name.strip()
    with quiet_imports():
        from xdet.inference.names.examples import check_rows_file

    check_rows_file(args.file)
    inferencer = open_model(args)
    tuned = inferencer.tune(args.data, names, args.images, args.limit, args.tokens, args.steps, args.learn)
    tuned.save(args.file)
    for name, count in tuned.segments.items():
        tell(f"'{name}' is in {args.file}, learned from {count} segments of '{names[name]}'")
    for name, shares in tuned.templates.items():
        best = ', '.join(f"'{form}' {share:.2f}" for form, share in list(shares.items())[:3])
        tell(f"'{name}': {best}")
    tell(f'loss {tuned.losses[0]:.4f} before, {tuned.losses[1]:.4f} after')
    return 0


main = program(parser, run)
