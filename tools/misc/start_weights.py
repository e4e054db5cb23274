"""Put the weights that a training starts from together: backbone, text encoder and the rest from different files.

    python tools/misc/start_weights.py CONFIG start.safetensors --backbone imagenet.pth --text distilled.safetensors

The rest comes from --base, by default from the embedded model of the generated world: every tensor of the same name and
shape, queries even if the numbers differ, and rows of answers by the answers' names. What is in no file starts at
random and is listed; ``--base none`` leaves all the rest to chance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch
from mmengine.config import Config
from torch import Tensor

from xdet.analysis.known_words import brought_along
from xdet.analysis.subject import import_components
from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.compat.checkpoint import read_checkpoint, read_state_dict, state_dict_of, write_state_dict
from xdet.io.terminal import tell
from xdet.model_zoo import EMBEDDED, find_config
from xdet.registry import MODELS

QUERIES = ('decoder.query_feat.weight', 'decoder.query_embed.weight')
ANSWERS = ('tasks.vqa.classifier.3.weight', 'tasks.vqa.classifier.3.bias')


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='path of the config to train, or the name of a shipped one')
    parser.add_argument('target', type=output_file, help='file to write (.safetensors)')
    parser.add_argument('--backbone', help="file for the config's TimmBackbone(weights=...)")
    parser.add_argument('--text', help='file with the text encoder, as written by tools/misc/distill_text.py')
    parser.add_argument(
        '--base',
        default=str(EMBEDDED['scenes'].weights),
        help='file with the rest, or none (default: of the model scenes)',
    )
    parser.add_argument('--base-config', default='scenes', help='config of --base')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def other_number_of_queries(rows: Tensor, count: int) -> Tensor:
    """Object queries ``[n - 1, C]`` and the image query, for ``count`` in all; repeated ones differ by some noise."""
    objects, missing = rows[:-1], count - len(rows)
    if missing <= 0:
        return torch.cat([objects[: count - 1], rows[-1:]])
    repeated = objects[torch.arange(missing) % len(objects)]
    return torch.cat([objects, repeated + 0.3 * rows.std() * torch.randn(repeated.shape), rows[-1:]])


def rows_by_answer(own: Tensor, base: Tensor, answers: Sequence[str], known: Sequence[str]) -> Tensor:
    """``own``, one row per answer, with the rows that ``base`` has for the same answers."""
    places = {answer: place for place, answer in enumerate(known)}
    return torch.stack([base[places[a]] if a in places else row for a, row in zip(answers, own, strict=True)])


def compose(
    own: dict[str, Tensor],
    base: dict[str, Tensor],
    text: dict[str, Tensor],
    answers: Sequence[str] = (),
    known: Sequence[str] = (),
) -> tuple[dict[str, Tensor], list[str]]:
    """Weights of a model from those it was built with (its backbone is kept) and two files; names of those still new.

    Raises:
        ValueError: ``text`` lacks a tensor of the text encoder, or has one of another shape.
    """
    found, new = {}, []
    for key, value in own.items():
        other = base.get(key)
        if key.startswith('backbone.'):
            found[key] = value
        elif key.startswith('text_encoder.') and text:
            if key not in text or text[key].shape != value.shape:
                shape = tuple(text[key].shape) if key in text else 'missing'
                raise ValueError(f"--text: '{key}' is {shape}; the config needs {tuple(value.shape)}")
            found[key] = text[key]
        elif other is not None and key in ANSWERS and other.shape[1:] == value.shape[1:] and known:
            found[key] = rows_by_answer(value, other.float(), answers, known)
        elif other is not None and other.shape == value.shape:
            found[key] = other
        elif other is not None and key in QUERIES and other.shape[1:] == value.shape[1:]:
            found[key] = other_number_of_queries(other.float(), len(value))
        else:
            found[key] = value
            new.append(key)
    return found, new


def answers_of(cfg: Config) -> tuple[str, ...]:
    """What the config's answer classifier knows."""
    return tuple(cfg.model.tasks.get('vqa', {}).get('answers') or ())


def main() -> None:
    """Entry point."""
    args = parse_args()
    import_components()
    torch.manual_seed(args.seed)
    with one_line_errors('start weights', OSError, ValueError):
        cfg, base_cfg = (Config.fromfile(str(find_config(name))) for name in (args.config, args.base_config))
        if args.backbone:
            if cfg.model.backbone.type != 'TimmBackbone':
                raise ValueError(f'--backbone: {args.config} has a {cfg.model.backbone.type}, not a TimmBackbone')
            cfg.model.backbone.weights = args.backbone
        base, known = {}, None
        if args.base != 'none':
            checkpoint = read_checkpoint(args.base)
            base, known = state_dict_of(checkpoint, args.base), brought_along(checkpoint, args.base)
        text = read_state_dict(args.text) if args.text else {}
        model = MODELS.build(cfg.model)
        model.init_weights()
        found, new = compose(model.state_dict(), base, text, answers_of(cfg), answers_of(base_cfg))
        write_state_dict(found, args.target, 'float16', known and known.unmeasured())
    tell(f'{args.target}: {len(found)} tensors, {len(new)} of them new: {", ".join(new) or "none"}')


if __name__ == '__main__':
    sys.exit(run_program(main))
