"""Finds images of a folder by texts, and texts by images, with an index that remembers what was embedded.

    xdet index photos --index photos.index --model NAME --weights FILE
    xdet search --index photos.index --text "a dog on a beach" --model NAME --weights FILE
    xdet search photos --index photos.index --text "the dog on the left" --region --model ...
    xdet search captions.txt --index captions.index --image street.jpg --model ...

COLLECTION is a folder of images, or for --image and --texts a text file with one text per line or a folder of .txt
files. Given to a search, it brings the index up to date first; a second run embeds only what is new. Without --model, a
small model that comes with the package is used; --model photos and --model scenes choose one (docs/model_cards.md says
what each knows).

Exit codes: 0 all done, 1 some images of the folder could not be read, 2 wrong usage or nothing could be done.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xdet.cli.chosen_model import add_model_options, open_model
from xdet.cli.errors import add_debug, exit_code
from xdet.cli.parsing import Parser, refuse_unread
from xdet.cli.places import output_folder
from xdet.io.terminal import tell


def parser(prog: str | None = None, command: str = 'search') -> argparse.ArgumentParser:
    """Command line of ``index`` or ``search``."""
    parser = Parser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'collection',
        nargs='?' if command == 'search' else None,
        help='folder of images; for texts, a text file or folder of .txt files',
    )
    parser.add_argument('--index', required=True, help='folder of the index, made when missing')
    if command == 'search':
        query = parser.add_mutually_exclusive_group(required=True)
        query.add_argument('--text', action='append', help='what to find; may be repeated')
        query.add_argument('--image', action='append', help='image to find texts for; may be repeated')
        parser.add_argument('--region', action='store_true', help='mark what the text means in the images found')
        parser.add_argument('-k', type=int, default=10, help='most results per query (10)')
        parser.add_argument('--min-score', type=float, default=-1.0, help='leave out results below this cosine')
        parser.add_argument(
            '--decoder-weight', type=float, help="weight of the decoder's vector, 0 to 1 (the model's own)"
        )
        parser.add_argument('--out-dir', type=output_folder, default='outputs', help='for results (default: outputs)')
    else:
        parser.add_argument('--texts', action='store_true', help='the collection holds texts, to be found by images')
    add_model_options(parser)
    parser.add_argument('--batch-size', type=int, default=16, help='images per forward pass (16)')
    add_debug(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Bring the index up to date, search it, write JSON and sheets; returns the exit code."""
    from xdet.compat.quiet import quiet_imports
    from xdet.io.reading import expand
    from xdet.io.writing import check_place, write_json

    with quiet_imports():
        from xdet.apis import ImageIndex, TextIndex
        from xdet.retrieval.collection import list_images, list_texts

    of_texts = args.image if 'image' in args else args.texts
    refuse_unread(args, bool(of_texts), 'is for images; texts are embedded in batches of their own', 'batch_size')
    refuse_unread(args, args.collection is None, 'is for a COLLECTION to be embedded, and none is named', 'batch_size')
    if args.collection is not None:
        (list_texts if of_texts else list_images)(args.collection)  # before the model is built, which takes seconds
        check_place(expand(args.index), folder=True)
    elif not Path(args.index).expanduser().is_dir():
        raise FileNotFoundError(f"index '{args.index}' does not exist; build it by xdet index, or name its collection")
    inferencer = open_model(args)
    index: Any
    if args.collection is None:
        index = (TextIndex if of_texts else ImageIndex).load(inferencer, args.index)
    elif of_texts:
        index = TextIndex.build(inferencer, args.collection, args.index)
    else:
        index = ImageIndex.build(inferencer, args.collection, args.index, args.batch_size)
    tell(f'{len(index)} {index.kind} in index {args.index}')
    if 'text' not in args:
        return 1 if index.failed else 0
    rankings = []
    for number, query in enumerate(args.text or args.image, start=1):
        found = _search(inferencer, index, query, args)
        tell(*[query, *(f'  {_line(hit)}' for hit in found)] if found else [query, '  nothing found'])
        if args.text:
            _write_sheet(args.out_dir / f'ranking_{number}.png', query, found)
        rankings.append(dict(query=query, hits=[_plain(hit) for hit in found]))
    content = dict(kind=index.kind, rankings=rankings, failed=index.failed)
    write_json(args.out_dir / 'rankings.json', content, ensure_ascii=False, indent=1)
    tell(f'results in {args.out_dir}')
    return 1 if index.failed else 0


def _search(inferencer: Any, index: Any, query: str, args: argparse.Namespace) -> list[Any]:
    from xdet.apis import find_regions

    if args.region:
        return find_regions(inferencer, index, query, args.k, args.decoder_weight, args.min_score)
    return index.search(query, args.k, args.decoder_weight, args.min_score)[0]


def _line(hit: Any) -> str:
    """One result for people."""
    if hasattr(hit, 'text'):
        return f'{hit.score:+.3f}  {hit.text}  ({Path(hit.path).name}:{hit.line})'
    share = f'  region {100 * hit.mask.mean():.1f} %' if hasattr(hit, 'mask') else ''
    return f'{hit.score:+.3f}  {hit.path}{share}'


def _plain(hit: Any) -> dict[str, Any]:
    """One result for JSON; masks in COCO's run-length encoding."""
    from xdet.structures import encode_mask

    row = {field.name: getattr(hit, field.name) for field in dataclasses.fields(hit)}
    if 'mask' in row:
        row['mask'] = encode_mask(row['mask'])
    return row


def _write_sheet(path: Path, query: str, hits: list[Any]) -> None:
    """Draw the images found, with their regions if there are any."""
    import numpy as np

    from xdet.datasets.files.image_io import ImageReadError, read_image
    from xdet.io.writing import write_image
    from xdet.visualization import class_colors, ranking_sheet, thumbnail
    from xdet.visualization.drawing import Style, paint_mask

    pictures, shown = [], []
    for hit in hits:
        try:
            picture = np.ascontiguousarray(read_image(hit.path)[..., ::-1])
        except ImageReadError as error:  # the index remembers images that are gone by now
            tell(f'warning: not drawn: {error}', error=True)
            continue
        shown.append(hit)
        if hasattr(hit, 'mask'):
            line = Style.of(*hit.mask.shape).line
            paint_mask(picture, hit.mask, class_colors([query])[0], alpha=0.5, line=line)
        pictures.append(thumbnail(picture))
    names = [Path(hit.path).name for hit in shown]
    write_image(path, ranking_sheet(query, pictures, [hit.score for hit in shown], names))


def main(argv: Sequence[str] | None = None, prog: str | None = None, command: str = 'search') -> int:
    """Entry point: every foreseeable error is one line on stderr and exit code 2."""
    own = parser(prog, command)
    args = own.parse_args(argv)
    if command == 'search' and args.region and args.image:
        own.error('--region needs --text')
    interrupted = 'interrupted' if args.collection is None else 'interrupted; what was embedded is in the index'
    return exit_code(lambda: run(args), args.debug, interrupted)
