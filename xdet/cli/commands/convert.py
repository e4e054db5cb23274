"""Converts annotated images from one format into another, or runs a converter of a public data set.

    xdet convert export.json --from label-studio --to coco data/cells
    xdet convert project --to yolo-seg data/yolo --val 0.2 --group-by 'clip(\\d+)'
    xdet convert instances.json --to cvat-polygons for_cvat --images photos --no-copy-images

IN is a file or folder of annotations; without --from its format is recognised. OUT is a new folder, which is there
completely or not at all. After --to coco a config to train with is printed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xdet.cli.errors import add_debug, exit_code
from xdet.cli.parsing import Parser, refuse_unread
from xdet.io.terminal import tell

from . import scripts

if TYPE_CHECKING:
    from xdet.datasets.exchange.annotated import AnnotatedSet
    from xdet.datasets.exchange.source import Source


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line of conversions; converters of public data sets have their own."""
    kinds = ''
    lines: list[str] = []
    try:
        kinds = _kinds()
        lines = [f'  {name:<18}{scripts.summary(path)}' for name, path in scripts.find_scripts('convert').items()]
    except (FileNotFoundError, ImportError):  # help without what the command needs
        pass
    parser = Parser(
        prog,
        usage=f'{prog or "xdet convert"} IN [--from FORMAT] --to FORMAT OUT [options]\n'
        f'       {prog or "xdet convert"} NAME ...   (NAME --help shows its arguments)',
        description='\n'.join([__doc__, 'Formats:', '', kinds, '', 'Converters by NAME:', '', *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('source', metavar='IN', help='file or folder of annotations')
    parser.add_argument('out', metavar='OUT', help='new folder, or a file for formats of one file')
    add_source_options(parser)
    parser.add_argument('--to', required=True, metavar='FORMAT', help='format to write')
    parser.add_argument(
        '--copy-images', action=argparse.BooleanOptionalAction, default=True, help='put copies of the images into OUT'
    )
    parser.add_argument('--val', type=float, metavar='SHARE', help='divide the images: share for validation, or number')
    add_split_options(parser)
    add_debug(parser)
    return parser


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """How annotations are read."""
    parser.add_argument('--from', dest='kind', metavar='FORMAT', default='', help='format of IN (default: recognised)')
    parser.add_argument('--images', metavar='DIR', help='folder of the images (default: where the format has them)')
    parser.add_argument('--names', nargs='+', metavar='NAME', help='class names in order, for files with numbers only')
    parser.add_argument('--of', metavar='FILE', help='COCO file that coco-results are of')


def add_split_options(parser: argparse.ArgumentParser) -> None:
    """How images are divided."""
    parser.add_argument('--test', type=float, default=0.0, metavar='SHARE', help='share for testing, or number (0)')
    parser.add_argument(
        '--group-by',
        metavar='folder|field=NAME|REGEX',
        help='images stay together that have the same folder, field of their entry, or match at the beginning of their '
        'file name (with parentheses: its first group)',
    )
    parser.add_argument('--seed', type=int, default=0, help='another seed gives another split (0)')


def run(args: argparse.Namespace) -> int:
    """Read, divide, write, say what was done; returns the exit code."""
    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.datasets import exchange
        from xdet.datasets.exchange.kinds import kind_named, writer_of
        from xdet.io.reading import expand
        from xdet.io.warnings import warn_once
        from xdet.io.writing import check_place

    writer_of(args.to)
    out, dividing = expand(args.out), args.val is not None or bool(args.test)
    how = 'says how images are divided, and --val how many; give both'
    refuse_unread(args, not dividing, how, 'group_by', 'seed')
    one_file = exchange.is_one_file(out)
    refuse_unread(args, one_file, f'is for a folder, into which images are copied; OUT is {out.name}', 'copy_images')
    check_place(out, folder=not one_file)
    source = read_source(args)
    data = exchange.read_annotations(source, args.kind)
    source.problems.report()
    if wrong := exchange.wrong_sizes(data):
        warn_once(f'{len(wrong)} images are damaged or have another size than annotated, first {wrong[0]}')
    if dividing:
        data = exchange.split_set(data, args.val or 0.0, args.test, args.group_by, args.seed)
    count = exchange.write_annotations(data, args.to, out, args.copy_images)
    segments = sum(len(image.segments) for image in data.images)
    tell(f'{out}: {len(data.images)} images, {segments} segments of {len(data.names)} classes, {count} files')
    if kind_named(args.to).lost != 'nothing':
        tell(f'{args.to} does not keep: {kind_named(args.to).lost}')
    if args.to == 'coco' and out.is_dir():
        tell(*config_for(data, out, args.copy_images).splitlines())
    return 0


def read_source(args: argparse.Namespace) -> Source:
    """What the options say is to be read."""
    from xdet.datasets.exchange.source import Source
    from xdet.io.reading import expand

    images = expand(args.images) if args.images else None
    if images is not None and not images.is_dir():
        raise FileNotFoundError(f"--images '{args.images}' is no folder")
    of = expand(args.of) if args.of else None
    return Source(expand(args.source), images, tuple(args.names or ()), of)


def config_for(data: AnnotatedSet, out: Path, copied: bool) -> str:
    """A config to train with, in a few lines."""
    lines = ["_base_ = 'xdet::_base_/own/instance.py'", f'data_root = {str(out)!r}']
    splits = set(data.splits)
    if {'train', 'val'} <= splits:
        hint = ''
    elif splits == {''}:
        lines += ["train_file = 'instances.json'", "val_file = 'instances.json'"]
        hint = f'# not divided yet: xdet data split {out}/instances.json\n'
    else:
        part = next(iter(sorted(splits)))
        lines += [f"{key}_file = '{key if key in splits else part}.json'" for key in ('train', 'val')]
        hint = '# one of its splits serves for both training and validation\n'
    if not copied:
        roots = {i.path.removesuffix(i.file) for i in data.images if i.path.endswith(i.file)} - {''}
        lines.append(f'images = {str(Path(roots.pop()).resolve())!r}' if len(roots) == 1 else "images = '...'")
    return f'# {out.name}.py\n{hint}' + '\n'.join(lines) + '\n'


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point: every foreseeable error is one line on stderr and exit code 2."""
    rest = list(sys.argv[1:] if argv is None else argv)
    formats = '--to' in rest or any(word.startswith('--to=') for word in rest)
    if rest and rest[0][:1] != '-' and not formats and not Path(rest[0]).exists():
        return scripts.main(rest, prog, 'convert')
    if not rest or rest[0] in ('-h', '--help'):
        parser(prog).print_help()
        return 0 if rest else 2
    args = parser(prog).parse_args(rest)
    return exit_code(lambda: run(args), args.debug)


def _kinds() -> str:
    from xdet.datasets.exchange.kinds import KINDS

    only = {True: '', False: ' (only read)'}
    return '\n'.join(f'  {name:<22}{kind.help}{only[kind.files is not None]}' for name, kind in KINDS.items())
