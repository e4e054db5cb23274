"""Write the index of WebDataset shards ahead of training (docs/datasets.md).

Training makes missing indices itself, but every process on its own. With the files in place it starts at once.

Usage: python tools/dataset_converters/index_shards.py 'data/cc3m/*.tar' 'data/sbu/{00000..00099}.tar' [--index-dir DIR]
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from xdet.cli.parsing import Parser
from xdet.cli.running import run_program
from xdet.datasets.files.tar_shards import expand_shards, load_index
from xdet.io.terminal import progress, tell


def count_samples(path: str, index_dir: str | None) -> tuple[int, str]:
    """Number of samples of a shard, and what is wrong with it."""
    try:
        index = load_index(path, index_dir)
    except (OSError, ValueError) as error:
        return 0, str(error)
    return len(index.samples), f'{path}: {index.damage}' if index.damage else ''


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('shards', nargs='+', help='paths, ranges {00000..00331} or wildcards, in quotation marks')
    parser.add_argument('--index-dir', help='folder of the index files; default: next to the shards')
    parser.add_argument('--processes', type=int, default=4)
    args = parser.parse_args()
    if args.processes < 1:
        parser.error(f'--processes is {args.processes}; accepted are numbers from 1')
    try:
        paths = expand_shards(args.shards)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    samples, problems = 0, []
    with ProcessPoolExecutor(args.processes) as pool:
        counts = pool.map(partial(count_samples, index_dir=args.index_dir), paths)
        for count, problem in progress(counts, 'shards', len(paths)):
            samples += count
            problems += [problem] if problem else []
    for problem in problems:
        tell(problem)
    tell(f'{samples} samples in {len(paths)} shards, {len(problems)} of them damaged')
    if problems:
        raise SystemExit(1)


if __name__ == '__main__':
    sys.exit(run_program(main))
