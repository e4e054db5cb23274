"""Finds images of a folder by texts, and texts by images, with an index that remembers what was embedded.

    python demo/retrieval_demo.py photos --index photos.index --text "a dog on a beach" --model NAME --weights FILE
    python demo/retrieval_demo.py photos --index photos.index --text "the dog on the left" --region --model ...
    python demo/retrieval_demo.py captions.txt --index captions.index --image street.jpg --model ...

With --text, COLLECTION is a folder of images; with --image, a text file with one text per line or a folder of .txt
files. A second run embeds only what is new. Without --model, a small model that comes with the package is used;
--model photos and --model scenes choose one (docs/model_cards.md says what each knows).

Exit codes: 0 all done, 1 some images of the folder could not be read, 2 wrong usage or nothing could be done.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('collection', help='folder of images; with --image, text file or folder of .txt files')
    parser.add_argument('--index', required=True, help='folder of the index, made when missing')
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument('--text', action='append', help='what to find; may be repeated')
    query.add_argument('--image', action='append', help='image to find texts for; may be repeated')
    parser.add_argument('--region', action='store_true', help='mark what the text means in the images found')
    parser.add_argument('-k', type=int, default=10, help='most results per query (10)')
    parser.add_argument('--min-score', type=float, default=-1.0, help='leave out results below this cosine')
    parser.add_argument('--decoder-weight', type=float, help="weight of the decoder's vector, 0 to 1 (the model's own)")
    parser.add_argument('--model', help='name of a shipped config or path of a config file')
    parser.add_argument('--weights', help='checkpoint file or URL, official or ours')
    parser.add_argument('--out-dir', default='outputs', help='folder for results (default: outputs)')
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda, cuda:N or mps')
    parser.add_argument('--batch-size', type=int, default=16, help='images per forward pass (16)')
    parser.add_argument('--random-weights', action='store_true', help='untrained model (to try the installation)')
    parser.add_argument('--debug', action='store_true', help='show the traceback of errors')
    args = parser.parse_args(argv)
    if args.region and args.image:
        parser.error('--region needs --text')
    return args


def run(args: argparse.Namespace) -> int:
    """Bring the index up to date, search it, write JSON and sheets; returns the exit code."""
    from xdet.compat.quiet import quiet_imports
    from xdet.io.writing import write_json

    with quiet_imports():
        from xdet.apis import ImageIndex, TextIndex, XDecoderInferencer
        from xdet.retrieval.collection import list_images, list_texts

    (list_texts if args.image else list_images)(args.collection)  # before the model is built, which takes seconds
    inferencer = XDecoderInferencer(args.model, args.weights, args.device, random_weights=args.random_weights)
    if inferencer.embedded is not None:
        print(f'note: {inferencer.embedded.knows}', file=sys.stderr)
    if args.image:
        index = TextIndex.build(inferencer, args.collection, args.index)
    else:
        index = ImageIndex.build(inferencer, args.collection, args.index, args.batch_size)
    print(f'{len(index)} {index.kind} in index {args.index}')
    out_dir = Path(args.out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    rankings = []
    for number, query in enumerate(args.text or args.image, start=1):
        found = _search(inferencer, index, query, args)
        print('\n'.join([query, *(f'  {_line(hit)}' for hit in found)] if found else [query, '  nothing found']))
        if args.text:
            _write_sheet(out_dir / f'ranking_{number}.png', query, found)
        rankings.append(dict(query=query, hits=[_plain(hit) for hit in found]))
    content = dict(kind=index.kind, rankings=rankings, failed=index.failed)
    write_json(out_dir / 'rankings.json', content, ensure_ascii=False, indent=1)
    print(f'results in {out_dir}')
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

    from xdet.datasets.files.image_io import read_image
    from xdet.io.writing import write_image
    from xdet.visualization import class_colors, ranking_sheet, thumbnail
    from xdet.visualization.drawing import Style, paint_mask

    pictures = []
    for hit in hits:
        picture = np.ascontiguousarray(read_image(hit.path)[..., ::-1])
        if hasattr(hit, 'mask'):
            line = Style.of(*hit.mask.shape).line
            paint_mask(picture, hit.mask, class_colors([query])[0], alpha=0.5, line=line)
        pictures.append(thumbnail(picture))
    names = [Path(hit.path).name for hit in hits]
    write_image(path, ranking_sheet(query, pictures, [hit.score for hit in hits], names))


def main(argv: list[str] | None = None) -> int:
    """Entry point: every foreseeable error is one line on stderr and exit code 2."""
    args = parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='replace')  # a terminal may not know every letter of a text
    try:
        return run(args)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        if args.debug:
            raise
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted; what was embedded is in the index', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
