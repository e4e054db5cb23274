"""Measure by which threshold a model tells prompts that are far from its training vocabulary, and store it with it.

    python tools/misc/measure_known_words.py xdecoder_lite0-nano_joint-photos weights.safetensors \\
        --related tools/misc/known_words/photos_related.txt --unrelated tools/misc/known_words/unrelated.txt \\
        --near tools/misc/known_words/photos_near.txt

The threshold is chosen on one half of the lists and judged on the other, many times, so that 95 % of the trained and
related names pass and 80 % of the unrelated ones are marked, or as near as can be. It goes into the header of the file,
or with --out of a copy, together with the lists. Where the training left no vocabulary in the file, the words are
collected from samples of the config's training data. A text encoder that cannot tell the lists apart gets no threshold:
then only words that training never had count as far.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from xdet.analysis.known_words import brought_along, collect, measure, read_lists
from xdet.analysis.subject import import_components
from xdet.cli.errors import one_line_errors
from xdet.cli.launch import add_cfg_options
from xdet.cli.overrides import apply_overrides
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.compat.checkpoint import read_checkpoint, state_dict_of, write_state_dict
from xdet.compat.fitting import to_xdet
from xdet.io.reading import read_text
from xdet.io.terminal import tell
from xdet.model_zoo import find_config, load_config
from xdet.registry import DATASETS, MODELS
from xdet.structures import KnownWords

LEAST = 0.7
"""Share of related names that pass, and of unrelated ones that are marked, below which no threshold is stored."""


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(
        description=__doc__.splitlines()[0], epilog=__doc__.split('\n', 2)[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument('config', help='name of a shipped config, or a config file')
    parser.add_argument('weights', help='file of weights')
    parser.add_argument(
        '--related', type=Path, nargs='+', required=True, help='files with other words for the trained names'
    )
    parser.add_argument('--unrelated', type=Path, nargs='+', required=True, help='files with names of other things')
    parser.add_argument('--near', type=Path, nargs='*', default=[], help='files with names that are like trained ones')
    parser.add_argument('--out', type=output_file, help='file to write (.safetensors; default: that of the weights)')
    parser.add_argument('--dry-run', action='store_true', help='only measure')
    parser.add_argument('--samples', type=int, default=500, help='samples to collect words from, per data set (500)')
    parser.add_argument('--seed', type=int, default=0, help='another seed divides the lists otherwise')
    add_cfg_options(parser)
    return parser.parse_args()


def names_in(files: list[Path]) -> list[str]:
    """Names in the files, see :func:`~xdet.analysis.known_words.read_lists`."""
    return list(dict.fromkeys(name for file in files for name in read_lists(read_text(file).splitlines(), str(file))))


def training_sets(cfg: Config) -> Iterator[Any]:
    """The data sets that a config trains with.

    Raises:
        ValueError: It trains with none.
    """
    loader = cfg.get('train_dataloader')
    if not isinstance(loader, Mapping):
        raise ValueError('the config has no train_dataloader to collect words from, and the weights bring none')
    for source in [loader] if 'dataset' in loader else filter(None, loader.values()):
        yield DATASETS.build(source['dataset'])


def vocabulary_of(args: argparse.Namespace, checkpoint: Any, cfg: Config) -> KnownWords:
    """Training vocabulary: what the weights bring along, else what the config trains with."""
    known = brought_along(checkpoint, args.weights)
    return collect(training_sets(cfg), args.samples) if known is None else known


def main() -> None:
    """Read, measure, write."""
    args = parse_args()
    target = args.out or Path(args.weights)
    with one_line_errors(f'measuring {args.weights}', OSError, ValueError, ImportError, RuntimeError):
        if target.suffix != '.safetensors' and not args.dry_run:
            raise ValueError(f"'{target}' is no .safetensors file, which could hold the threshold; name one by --out")
        related, unrelated, near = map(names_in, (args.related, args.unrelated, args.near))
        cfg = load_config(find_config(args.config))
        apply_overrides(cfg, args.cfg_options)
        import_components()
        checkpoint = read_checkpoint(args.weights)
        weights = to_xdet(state_dict_of(checkpoint, args.weights))
        encoder = MODELS.build(cfg.model.text_encoder)
        prefix = 'text_encoder.'
        encoder.load_state_dict(
            {key.removeprefix(prefix): value.float() for key, value in weights.items() if key.startswith(prefix)}
        )
        known = vocabulary_of(args, checkpoint, cfg)
        if not known.names:
            raise ValueError('its training vocabulary has no class names to compare with')
        measured, result = measure(known, encoder.eval(), related, unrelated, near, args.seed)
        words = len(known.phrase_words), len(known.text_words)
        tell(f'{len(known.names)} trained names, {words[0]} words of phrases, {words[1]} words of other texts')
        tell(f'threshold {result.threshold}, judged on names that did not choose it and that no list has:')
        tell(
            f'{100 * result.passed:.1f} % of {result.counts[0]} related ones pass, with the trained ones '
            f'{100 * result.passed_in_all:.1f} %'
        )
        tell(f'{100 * result.marked:.1f} % of {result.counts[1]} unrelated ones are marked')
        if result.near is not None:
            tell(f'{100 * result.near:.1f} % of those that are like trained ones are marked')
        tell(f'related, but marked: {", ".join(result.wrong[0][:40]) or "none"}')
        tell(f'unrelated, but not marked: {", ".join(result.wrong[1][:40]) or "none"}')
        if min(result.passed, result.marked) < LEAST:
            tell('this text encoder cannot tell them apart: no threshold is stored, only trained words count as known')
            measured = known.unmeasured()
        if not args.dry_run:
            write_state_dict(weights, target, known_words=measured)
            tell(f'wrote {target}')


if __name__ == '__main__':
    sys.exit(run_program(main))
