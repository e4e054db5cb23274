"""Learns a few tokens before class names; no weight of the model changes, so other names mean what they meant.

    xdet tune train.json kitten.safetensors --images photos --name "kitten=cat" --limit 20
    xdet tune my_data names.safetensors --name cat --name dog
    xdet predict photos/ --text-embeddings kitten.safetensors --classes "kitten . dog"

DATA are annotated images in a format that xdet convert reads. A name is one of its classes, or NEW=CLASS for another
name of a class. Names that the file has already stay in it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .errors import exit_code


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', help='annotated images: file or folder')
    parser.add_argument('file', help='file of names (.safetensors) to write or to add to')
    parser.add_argument('--name', action='append', required=True, metavar='NAME', help='class, or NEW=CLASS')
    parser.add_argument('--images', metavar='DIR', help='folder of the images (default: where the format has it)')
    parser.add_argument('--limit', type=int, metavar='N', help='at most so many images with these classes (all)')
    parser.add_argument('--tokens', type=int, default=4, help='learned tokens of every name (4)')
    parser.add_argument('--steps', type=int, default=100, help='of the optimizer (100)')
    parser.add_argument('--model', help='name of a shipped config or path of a config file')
    parser.add_argument('--weights', help='checkpoint file or URL, official or ours')
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda, cuda:N or mps')
    parser.add_argument('--random-weights', action='store_true', help='untrained model (to try the installation)')
    parser.add_argument('--debug', action='store_true', help='show the traceback of errors')
    return parser


def run(args: argparse.Namespace) -> int:
    """Learn, write the file and say from how much; returns the exit code."""
    names = {}
    for text in args.name:
        name, _, of = text.partition('=')
        if not name.strip() or ('=' in text and not of.strip()):
            raise ValueError(f"--name is '{text}'; accepted are a class, or NEW=CLASS")
        names[name.strip()] = of.strip() or name.strip()
    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.apis import XDecoderInferencer

    inferencer = XDecoderInferencer(args.model, args.weights, args.device, args.random_weights)
    if inferencer.embedded is not None:
        print(f'note: {inferencer.embedded.knows}', file=sys.stderr)
    tuned = inferencer.tune(args.data, names, args.images, args.limit, args.tokens, args.steps)
    tuned.save(args.file)
    for name, count in tuned.segments.items():
        print(f"'{name}' is in {args.file}, learned from {count} segments of '{names[name]}'")
    print(f'loss {tuned.losses[0]:.4f} before, {tuned.losses[1]:.4f} after')
    return 0


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point: every foreseeable error is one line on stderr and exit code 2."""
    args = parser(prog).parse_args(argv)
    return exit_code(lambda: run(args), args.debug)
