"""Look at what a model learns from or is tested on: pictures as the pipeline makes them, annotations, texts.

    python tools/analysis_tools/browse_dataset.py xdecoder_focal-nano_scenes-joint --num-images 8
    python tools/analysis_tools/browse_dataset.py CONFIG --split test --shuffle 0

Writes a picture per sample and samples.json with their texts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from mmengine.config import Config

from xdet.analysis.pictures import facts, training_picture
from xdet.analysis.subject import add_choice_arguments, add_config_arguments, build_dataset, read_config
from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.cli.running import run_program
from xdet.io.terminal import progress, tell
from xdet.io.writing import write_image, write_json
from xdet.visualization.drawing import picture_of


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split('\n')[0])
    add_config_arguments(parser)
    add_choice_arguments(parser, 20)
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train', help='which loader (train)')
    parser.add_argument('--source', metavar='NAME', help='of joint training: only this loader (default: all)')
    parser.add_argument('--out-dir', type=output_folder, default='outputs/browse', help='(outputs/browse)')
    return parser.parse_args()


def datasets(cfg: Config, split: str, source: str | None) -> dict[str, Mapping[str, Any]]:
    """Configs of the data sets to show by name.

    Raises:
        ValueError: There is no such loader.
    """
    loader = cfg.get(f'{split}_dataloader')
    if not loader:
        raise ValueError(f'it has no {split}_dataloader')
    loaders = {split: loader} if 'dataset' in loader else dict(loader)
    if source is not None and source not in loaders:
        raise ValueError(f"--source '{source}': its {split}_dataloader has {', '.join(loaders)}")
    return {name: loaders[name].dataset for name in ([source] if source else loaders)}


def main() -> None:
    args = parse_args()
    from xdet.visualization import XDetLocalVisualizer  # slow to import

    visualizer = XDetLocalVisualizer()
    described = []
    with one_line_errors(f'config {args.config}'):
        cfg = read_config(args)
        chosen = datasets(cfg, args.split, args.source)
        images = {name: build_dataset(dataset, args.num_images, args.shuffle) for name, dataset in chosen.items()}
    with one_line_errors('drawing', ValueError, OSError):
        for name, subset in images.items():
            for index in progress(range(len(subset)), f'Drawing {name}'):
                packed = subset[index]
                pixels, sample = packed['inputs'], packed['data_samples']
                # Annotations for training belong to the network's picture, those for testing to the file's.
                testing = args.split != 'train'
                shown = (
                    picture_of(pixels, sample)
                    if testing
                    else np.ascontiguousarray(pixels.numpy()[::-1].transpose(1, 2, 0))
                )
                picture = training_picture(visualizer, shown, sample)
                path = args.out_dir / f'{name}_{subset.indices[index]}.png'
                write_image(path, picture)
                described.append(dict(picture=path.name, **facts(sample)))
        write_json(args.out_dir / 'samples.json', described, indent=1, ensure_ascii=False)
    tell(f'wrote {len(described)} pictures and samples.json into {args.out_dir}')


if __name__ == '__main__':
    sys.exit(run_program(main))
