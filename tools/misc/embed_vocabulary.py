"""Embed class names once and for all, so that a large vocabulary is there at once when it is used.

    python tools/misc/embed_vocabulary.py xdecoder_focal-t xdecoder_focalt_last.pt names.txt names.safetensors

Names already in the target are kept and not embedded again, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from xdet.apis import XDecoderInferencer
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.datasets.vocab import make_vocabulary
from xdet.io.terminal import progress, tell
from xdet.structures import Vocabulary

_NAMES_PER_STEP = 64


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('model', help='name of a shipped model, or a config file')
    parser.add_argument('weights', help='checkpoint file or URL')
    parser.add_argument(
        'names', help='file with one class name per line (or .json), or a known list such as coco_panoptic'
    )
    parser.add_argument('target', type=output_file, help='file to write (.safetensors)')
    parser.add_argument('--device', default='auto', help="'auto', 'cpu', 'cuda', ...")
    parser.add_argument('--no-prompt', action='store_true', help='encode the names as they are, not in templates')
    parser.add_argument('--overwrite', action='store_true', help='do not go on with what the target holds')
    return parser.parse_args()


def steps(names: list[str]) -> Iterator[Vocabulary]:
    """The names in parts."""
    for start in range(0, len(names), _NAMES_PER_STEP):
        part = names[start : start + _NAMES_PER_STEP]
        yield Vocabulary(tuple(part), (True,) * len(part))


def embed(args: argparse.Namespace) -> None:
    """Embed and write, also when interrupted."""
    if args.target.suffix != '.safetensors':
        raise ValueError(f"target '{args.target}' must be a .safetensors file")
    names = list(dict.fromkeys(text for texts in make_vocabulary(args.names).texts for text in texts))
    embedder = XDecoderInferencer(args.model, args.weights, args.device).model.vocabulary
    embedder.capacity = len(names) + 1
    if args.target.exists() and not args.overwrite:
        tell(f'{args.target} holds {embedder.load(args.target)} names, which are kept')
    vocabularies = list(steps(names))
    written = False
    try:
        for vocabulary in progress(vocabularies, f'Embedding {len(names)} class names'):
            embedder(vocabulary, prompt=not args.no_prompt)
            written = True
    finally:
        if written:
            embedder.save(args.target)
    tell(f'wrote {args.target}')


def main() -> None:
    """Run; whatever the user can mend ends in one line."""
    try:
        embed(parse_args())
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from None
    except KeyboardInterrupt:
        tell('interrupted; run the same command again to go on', error=True)
        raise SystemExit(130) from None


if __name__ == '__main__':
    sys.exit(run_program(main))
