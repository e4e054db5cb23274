"""How fast class names are embedded, in one run on one machine and with the same weights and names.

Compares, for the text encoder of a model:

* the official way: each class on its own, its 81 prompts padded to 77 tokens;
* xdet: prompts at their real length, sorted by length;
* xdet, and what precedes the name in a prompt ("a photo of a") is encoded once for all names.

Nothing is extrapolated: every way embeds all names, so --names 133 takes long. Where other programs use the cores too,
run with --threads 1 and read the processor times: threads that wait for each other suffer most, in many small steps.

Usage: python benchmarks/text_embedding.py [--model focal-t] [--names 5] [--threads 1] [--repeats 2] [--out result.json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from xdet.cli.places import output_file
from xdet.datasets.vocab import get_vocabulary
from xdet.io.writing import write_text
from xdet.models.similarity import normalize
from xdet.models.text import END_TOKEN, TEMPLATES, CausalTextEncoder, TextCache, clean_name
from xdet.registry import MODELS
from xdet.structures import BACKGROUND, Vocabulary

ROOT = Path(__file__).resolve().parents[1]
OURS_ALONE, OURS_SHARED = 'xdet_unshared', 'xdet'


@torch.no_grad()
def embed_officially(encoder: CausalTextEncoder, vocabulary: Vocabulary) -> Tensor:
    """Embeddings ``[K + 1, C]``, one class after the other, prompts padded with end tokens."""
    rows = []
    for name in [*vocabulary.names, BACKGROUND]:
        ids = torch.full((len(TEMPLATES), encoder.context_length), END_TOKEN)
        for row, template in enumerate(TEMPLATES):
            prompt = encoder.tokenize([template.format(clean_name(name))])[0]
            ids[row, : len(prompt)] = prompt
        mean = normalize(encoder(ids).pooled).mean(dim=0)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


def measure(ways: dict[str, Callable[[], Tensor]], repeats: int) -> tuple[dict[str, list[float]], dict[str, Tensor]]:
    """Best wall time and processor time of each way, run in turn so that other load meets all; and the results."""
    best = {name: [float('inf')] * 2 for name in ways}
    results = {}
    for _ in range(repeats):
        for name, run in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            results[name] = run()
            spent = time.perf_counter() - wall, time.process_time() - processor
            best[name] = [min(pair) for pair in zip(best[name], spent, strict=True)]
    return best, results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', default='focal-t', help='file in configs/_base_/models, without .py')
    parser.add_argument('--names', type=int, default=5, help='how many names of COCO panoptic, "background" included')
    parser.add_argument('--repeats', type=int, default=2)
    parser.add_argument('--threads', type=int, help="threads of torch; 1 where other programs use the machine's cores")
    parser.add_argument('--out', type=output_file, help='where to write the result as JSON')
    args = parser.parse_args()
    if args.names < 2:
        parser.error(f'--names is {args.names}; it takes at least 2')

    if args.threads:
        torch.set_num_threads(args.threads)
    init_default_scope('xdet')
    torch.manual_seed(0)
    encoder = MODELS.build(Config.fromfile(ROOT / 'configs/_base_/models' / f'{args.model}.py').model.text_encoder)
    encoder.eval()
    every = get_vocabulary('coco_panoptic').names
    names = every[:: max(1, len(every) // (args.names - 1))][: args.names - 1]
    vocabulary = Vocabulary(names, (True,) * len(names))

    def ours(share_from: int) -> Tensor:
        return TextCache(encoder, share_from=share_from)(vocabulary)  # a new one remembers nothing

    ours(share_from=1)  # warm-up
    ways = {
        'official': lambda: embed_officially(encoder, vocabulary),
        OURS_ALONE: lambda: ours(share_from=len(names) + 2),
        OURS_SHARED: lambda: ours(share_from=1),
    }
    best, embeddings = measure(ways, args.repeats)
    result: dict[str, object] = dict(model=args.model, names=len(names) + 1, threads=torch.get_num_threads())
    for way, (wall, processor) in best.items():
        result |= {f'{way}_s': round(wall, 3), f'{way}_cpu_s': round(processor, 3)}
    for way in (OURS_ALONE, OURS_SHARED):
        for index, unit in enumerate(('', 'cpu_')):
            result[f'{way}_{unit}ratio'] = round(best['official'][index] / best[way][index], 1)
        difference = (embeddings[way] - embeddings['official']).abs().max().item()
        result[f'{way}_largest_difference'] = float(f'{difference:.1e}')
    text = json.dumps(result)
    print(text)
    print(f'xdet is {result["xdet_ratio"]} times as fast as the official way (processor: {result["xdet_cpu_ratio"]})')
    if args.out:
        write_text(args.out, text + '\n')


if __name__ == '__main__':
    main()
