"""What a fine-tuning cost: its data, and what the model could before, tested with weights before, after and between.

    python tools/analysis_tools/forgetting.py balloons.py CHECKPOINT --old xdecoder_lite0-nano_joint-photos
    python tools/analysis_tools/forgetting.py CONFIG CHECKPOINT --before WEIGHTS --old OLD --strengths 0 0.5 0.75 1

Strength 0 are the weights before the training, 1 those after it; between them only a part of the change is made, which
often keeps most of the new and most of the old. For LoRA this is the strength of the adapters. --save 0.6 FILE writes
such weights. Writes forgetting.md, .csv and .json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from torch import Tensor

from xdet.analysis.forgetting import between, forgetting_table, plain_weights, weights_for
from xdet.analysis.subject import (
    Subject,
    add_choice_arguments,
    build_dataset,
    evaluate_each,
    import_components,
    loader_settings,
)
from xdet.analysis.tables import markdown, write_table
from xdet.cli.errors import one_line_errors
from xdet.cli.launch import OptionAction, add_cfg_options
from xdet.cli.overrides import apply_overrides
from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.cli.running import run_program
from xdet.compat.checkpoint import known_words_of, read_checkpoint, state_dict_of, write_state_dict
from xdet.compat.fitting import to_xdet
from xdet.io.terminal import tell
from xdet.io.writing import write_json
from xdet.model_zoo import EMBEDDED, find_config, load_config, resolve_device
from xdet.registry import MODELS


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='config of the fine-tuning')
    parser.add_argument('checkpoint', help='its result')
    parser.add_argument('--before', help='weights it started from (default: load_from of its config)')
    parser.add_argument(
        '--old', nargs='+', default=[], metavar='CONFIG', help='configs whose tests show what was known'
    )
    parser.add_argument('--old-options', nargs='+', action=OptionAction, metavar='KEY=VALUE', help='changes to these')
    parser.add_argument('--strengths', type=float, nargs='+', default=(0.0, 0.5, 1.0), help='(0 0.5 1)')
    parser.add_argument('--values', nargs='+', metavar='NAME', help='such as panoptic/PQ (default: all)')
    parser.add_argument('--save', nargs=2, metavar=('STRENGTH', 'FILE'), help='write weights between')
    parser.add_argument('--device', default='auto', help="'auto', 'cpu', 'cuda', ...")
    add_cfg_options(parser)
    parser.add_argument('--out-dir', type=output_folder, default='outputs/forgetting', help='(outputs/forgetting)')
    add_choice_arguments(parser)
    return parser.parse_args()


def read(name: str, options: Mapping | None) -> Config:
    """A config with changes."""
    cfg = load_config(find_config(name))
    apply_overrides(cfg, options)
    return cfg


def measure(
    cfg: Config, weights: Mapping[str, Tensor], before: Mapping[str, Tensor], title: str, args: argparse.Namespace
) -> dict:
    """Values of the test of a config."""
    model = MODELS.build(cfg.model)
    model.load_state_dict(weights_for(model.state_dict(), weights, before))
    model.to(resolve_device(args.device)).eval()
    subject = Subject(cfg, model, build_dataset(loader_settings(cfg).dataset, args.num_images, args.shuffle))
    evaluator = subject.evaluator()
    for _, sample in subject.predictions(what=title):
        evaluator.process(data_samples=[sample], data_batch=None)
    return evaluate_each(evaluator, len(subject.images))[0]


def main() -> None:
    args = parse_args()
    with one_line_errors('forgetting', ValueError, OSError, ImportError):
        new = read(args.config, args.cfg_options)
        tests = {args.config: new} | {name: read(name, args.old_options) for name in args.old}
        import_components()
        start = args.before or new.get('load_from')
        if start is None:
            raise ValueError('the config has no load_from; name the weights before the training by --before')
        start = str(EMBEDDED[start].weights) if start in EMBEDDED else start
        before = to_xdet(state_dict_of(read_checkpoint(start), start))
        checkpoint = read_checkpoint(args.checkpoint)
        after = plain_weights(new, to_xdet(state_dict_of(checkpoint, args.checkpoint)))
        if args.save:
            weights = between(before, after, float(args.save[0]))
            write_state_dict(
                {name: weights[name] for name in after}, args.save[1], None, known_words_of(checkpoint, args.checkpoint)
            )
            tell(f'wrote {args.save[1]}')
        results: dict = {Path(name).stem: {} for name in tests}
        for strength in sorted(set(args.strengths)):
            mixed = between(before, after, strength)
            for name, cfg in tests.items():
                title = f'{Path(name).stem} at {strength:g}'
                results[Path(name).stem][strength] = measure(cfg, mixed, before, title, args)
        header, rows = forgetting_table(results, args.values)
        write_table(args.out_dir / 'forgetting', header, rows)
        write_json(args.out_dir / 'forgetting.json', results, indent=1)
    tell(*markdown(header, rows).split('\n'))
    tell('', f'wrote forgetting.md, .csv and .json into {args.out_dir}')


if __name__ == '__main__':
    sys.exit(run_program(main))
