"""Looks at annotated images before a model is trained on them, and divides them.

    xdet data check data/cells
    xdet data check instances.json --images photos --json
    xdet data split instances.json --val 0.2 --group-by 'clip(\\d+)'
    xdet data split project data/divided --from labelme --val 0.2 --test 0.1 --group-by folder

check counts classes, images and sizes, and tells everything that is suspicious. Exit codes: 0 no errors (warnings are
none), 1 errors in the data, 2 wrong usage or nothing could be read.

split divides a COCO JSON of any kind into train.json and val.json (and test.json) beside it, or in OUT; every other
format is written anew into OUT.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from xdet.cli.errors import add_debug, program
from xdet.cli.parsing import Parser, refuse_unread
from xdet.io.terminal import tell

from .convert import add_source_options, add_split_options, read_source

_TOLD = 3
"""Entries of a finding that are shown."""


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest='action', metavar='check|split', required=True)
    check = actions.add_parser('check', help='count, and tell what is suspicious')
    check.add_argument('source', metavar='PATH', help='file or folder of annotations')
    add_source_options(check)
    check.add_argument('--json', action='store_true', help='print everything as JSON')
    check.add_argument('--all', action='store_true', help=f'show all entries of a finding, not {_TOLD}')
    split = actions.add_parser('split', help='divide into training, validation and perhaps test images')
    split.add_argument('source', metavar='PATH', help='file or folder of annotations')
    split.add_argument('out', metavar='OUT', nargs='?', help='new folder (default for a COCO JSON: beside it)')
    add_source_options(split)
    split.add_argument('--val', type=float, default=0.2, metavar='SHARE', help='share for validation (0.2), or number')
    add_split_options(split)
    split.add_argument('--overwrite', action='store_true', help='replace JSON files that are there already')
    split.add_argument('--copy-images', action=argparse.BooleanOptionalAction, default=True, help='copies into OUT')
    for one in (check, split):
        add_debug(one)
    return parser


def run(args: argparse.Namespace) -> int:
    """Do what is asked for; returns the exit code."""
    return _check(args) if args.action == 'check' else _split(args)


def _check(args: argparse.Namespace) -> int:
    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.datasets import exchange

    refuse_unread(args, args.json, 'is for people; --json prints everything', 'all')
    source = read_source(args)
    source.problems.strict = False
    data = exchange.read_annotations(source, args.kind)
    report = exchange.check_set(data, source.problems, source)
    told = report.to_dict()
    if args.json:
        tell(*json.dumps(told, ensure_ascii=False, indent=1).split('\n'))
        return 1 if report.errors else 0
    splits = ', '.join(f'{name} {count}' for name, count in told['splits'].items())
    tell(f'{args.source}: {told["images"]} images ({splits}), {told["segments"]} segments, {told["crowds"]} crowds')
    sizes = ', '.join(f'{size} ({count})' for size, count in list(told['sizes'].items())[:5])
    tell(f'sizes: {sizes}{", ..." if told["different_sizes"] > 5 else ""}')
    width = max((len(name) for name in told['classes']), default=0)
    tell(f'{"class":<{width}}  segments  images')
    for name, counts in told['classes'].items():
        tell(f'{name:<{width}}  {counts["segments"]:>8}  {counts["images"]:>6}')
    for kind in ('errors', 'warnings'):
        for finding in told[kind].values():
            tell(f'{kind[:-1]}: {finding["count"]} {finding["what"]}')
            shown = finding['entries'] if args.all else finding['entries'][:_TOLD]
            tell(*(f'    {entry}' for entry in shown))
            if len(shown) < finding['count']:
                tell(f'    ... and {finding["count"] - len(shown)} more (--all)')
    tell(f'{report.errors} errors' if report.errors else 'no errors')
    return 1 if report.errors else 0


def _split(args: argparse.Namespace) -> int:
    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.datasets import exchange
        from xdet.datasets.exchange.splitting import split_coco_file
        from xdet.io.reading import expand

    source = expand(args.source)
    if source.suffix == '.json' and args.kind in ('', 'coco') and _is_coco(source):
        whole = 'is not read here: a COCO JSON is divided as it is, and its images stay where they are'
        refuse_unread(args, True, whole, 'images', 'names', 'of', 'copy_images')
        folder = expand(args.out) if args.out else source.parent
        out = {name: folder / f'{name}.json' for name in ('train', 'val', 'test')}
        for line in split_coco_file(source, out, args.val, args.test, args.group_by, args.seed, args.overwrite):
            tell(line)
        return 0
    if not args.out:
        raise ValueError(f'{args.source}: only a COCO JSON is divided where it lies; name a new folder as OUT')
    refuse_unread(args, True, 'is for a COCO JSON, divided where it lies; OUT is a new folder', 'overwrite')
    kind = args.kind or exchange.detect_kind(source)
    data = exchange.split_set(
        exchange.read_annotations(read_source(args), kind), args.val, args.test, args.group_by, args.seed
    )
    exchange.write_annotations(data, kind, Path(expand(args.out)), args.copy_images)
    for name in data.splits:
        tell(f'{args.out}: {len(data.part(name).images)} images in {name}')
    return 0


def _is_coco(path: Path) -> bool:
    from xdet.io.reading import read_json

    content = read_json(path)
    return isinstance(content, dict) and 'images' in content


main = program(parser, run)
