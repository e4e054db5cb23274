"""Segments, describes or embeds very many images, by several workers on Ray, with results in Parquet files.

    xdet bulk photos --out-dir found --task panoptic --classes "dog . cat" --workers 2
    xdet bulk "shards/{00000..00012}.tar" --out-dir vectors --task embedding --workers 8 --address auto
    xdet bulk "photos/*.parquet" --image-column jpg --out-dir texts --task caption --workers 4 --gpus 1

Images are files, folders, patterns, tar shards in WebDataset's layout and Parquet files. --workers 0, the default, runs
in this process and needs no Ray. A run that was interrupted, however it ended, goes on with --resume.

Exit codes: 0 all done, 1 some images gave no result, 2 wrong usage or nothing could be done.
"""

from __future__ import annotations

import argparse

from xdet.cli.chosen_model import add_model_options, chosen
from xdet.cli.errors import add_debug, program
from xdet.cli.parsing import Parser, refuse_unread
from xdet.cli.places import output_folder
from xdet.io.terminal import tell
from xdet.options import GENERATION, PROMPTS, THRESHOLDS, add_arguments


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('image', nargs='+', help='image files, folders, patterns, .tar shards, .parquet files')
    parser.add_argument(
        '--out-dir', required=True, type=output_folder, help='new folder for the results, which all workers see'
    )
    parser.add_argument('--task', default='panoptic', help='a task of xdet predict but retrieval, or embedding')
    parser.add_argument('--resume', action='store_true', help='go on with the run in --out-dir that was interrupted')
    parser.add_argument('--image-column', default='image', help='column of Parquet files with the images (image)')
    parser.add_argument('--batch-size', type=int, default=1, help='images per forward pass (1)')
    parser.add_argument('--chunk-size', type=int, default=64, help='images per file of results (64)')
    add_debug(parser)
    model = parser.add_argument_group('model')
    add_model_options(model, untrained=False)
    workers = parser.add_argument_group('workers')
    workers.add_argument('--workers', type=int, default=0, help='workers on Ray (0: this process, without Ray)')
    workers.add_argument('--address', help="of a Ray cluster, 'auto' for the one on this machine (default: start one)")
    workers.add_argument('--cpus', type=float, default=1.0, help='CPUs of a worker, and so its threads (1)')
    workers.add_argument('--gpus', type=float, default=0.0, help='GPUs of a worker (0)')
    prompts = [option for name, option in PROMPTS.items() if name not in THRESHOLDS]
    add_arguments(parser.add_argument_group('prompts (which of these depends on the task)'), prompts)
    add_arguments(parser.add_argument_group('what is reported'), THRESHOLDS.values())
    add_arguments(parser.add_argument_group('how captions are written (caption, refcaption)'), GENERATION.values())
    return parser


def run(args: argparse.Namespace) -> int:
    """Run, and say what became of the images; returns the exit code."""
    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.bulk.running import run_bulk
        from xdet.bulk.sources import PARQUET

    refuse_unread(args, not args.workers, 'is for workers on Ray; say how many by --workers', 'address', 'cpus', 'gpus')
    parquet = any(image.endswith(PARQUET) for image in args.image)
    refuse_unread(args, not parquet, f'is for Parquet files, and no image ends in {PARQUET}', 'image_column')
    given = {name: vars(args).get(name) for name in (*PROMPTS, *GENERATION)}
    options = {name: value for name, value in given.items() if value is not None and value is not False}
    own = ('out_dir', 'task', 'workers', 'batch_size', 'chunk_size', 'image_column', 'address', 'cpus', 'gpus')
    settings = chosen(args) | {name: getattr(args, name) for name in (*own, 'resume')}
    result = run_bulk(args.image, show_progress=True, **settings, **options)
    if result.resumed:
        tell(f'{result.resumed} of {result.total} images were finished before')
    for line in result.problems:
        tell(f'damaged: {line}', error=True)
    if result.failed:
        tell(f'{len(result.failed)} of {result.total} images failed:', error=True)
        for row in result.failed[:20]:
            tell(f'  {row["error"]}', error=True)
        if len(result.failed) > 20:
            tell("  ...; all of them have an error in column 'error'", error=True)
    tell(f'results of {result.total - len(result.failed)} images in {args.out_dir}')
    if len(result.failed) == result.total:
        return 2
    return 1 if result.failed or result.problems else 0


main = program(parser, run)
