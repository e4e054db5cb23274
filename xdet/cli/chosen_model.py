"""The model that a command runs: the options that choose it, and the inferencer that they ask for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from xdet.cli.parsing import refuse_unread
from xdet.io.terminal import tell

if TYPE_CHECKING:  # commands print their help without loading the model code
    from xdet.inference.inferencer import XDecoderInferencer

_CHOOSING = ('model', 'weights', 'device', 'random_weights', 'text_embeddings', 'calibration', 'precision')


def add_model_options(parser: argparse._ActionsContainer, untrained: bool = True, companions: bool = False) -> None:
    """Add ``--model``, ``--weights``, ``--device`` and ``--precision``.

    Args:
        parser (argparse._ActionsContainer): A parser, or a group of one.
        untrained (bool): Also add ``--random-weights``.
        companions (bool): Also add the options of files that go with weights (embedded names, calibration).
    """
    parser.add_argument('--model', help='name of a shipped config or path of a config file (one of the package)')
    parser.add_argument('--weights', help='checkpoint file or URL, official or ours')
    if untrained:
        parser.add_argument('--random-weights', action='store_true', help='untrained model (to try the installation)')
    if companions:
        parser.add_argument('--text-embeddings', help='class names embedded before, by tools/misc/embed_vocabulary.py')
        parser.add_argument(
            '--calibration', help='thresholds of presence, by xdet calibrate (default: beside the weights)'
        )
    add_device_options(parser)


def add_device_options(parser: argparse._ActionsContainer) -> None:
    """Add ``--device`` and ``--precision``, for programs that bring their models along."""
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda, cuda:N or mps')
    parser.add_argument(
        '--precision',
        choices=('single', 'bfloat16'),
        help="of computation; bfloat16 is faster on hardware made for it (default: the config's, which is single)",
    )


def refuse_unread_companions(args: argparse.Namespace) -> None:
    """Refuse files that go with weights where ``args.task`` does not read them.

    Raises:
        ValueError: One of them was given.
    """
    from xdet.inference.inputs.options import known_prompts
    from xdet.inference.outputs.results import TASK_FORMATS

    if args.task not in TASK_FORMATS:
        return  # who asks for it says so
    prompts = TASK_FORMATS[args.task].prompts
    named = any(known_prompts()[name].kind == 'names' for name in prompts)
    refuse_unread(args, not named, f"is for class names, which task '{args.task}' does not take", 'text_embeddings')
    why = f"is for thresholds of presence, which task '{args.task}' does not take"
    refuse_unread(args, 'presence' not in prompts, why, 'calibration')
    decided = args.presence is not None and not vars(args).get('uncertainty')
    refuse_unread(args, decided, 'is for a threshold of presence, which --presence gives', 'calibration')


def chosen(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :class:`~xdet.inference.inferencer.XDecoderInferencer`, as the options say."""
    return {name: getattr(args, name) for name in _CHOOSING if name in args}


def open_model(args: argparse.Namespace) -> XDecoderInferencer:
    """Build the model that the options of :func:`add_model_options` choose, and say what a small one knows.

    Raises:
        As :class:`~xdet.inference.inferencer.XDecoderInferencer`.
    """
    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.apis import XDecoderInferencer

    inferencer = XDecoderInferencer(**chosen(args))
    if inferencer.embedded is not None:
        tell(f'note: {inferencer.embedded.knows}', error=True)
    return inferencer
