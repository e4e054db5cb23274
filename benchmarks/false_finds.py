"""What a model says to be where it is not: in segments, captions and answers, on photographs of anything.

    python benchmarks/false_finds.py annotations/panoptic_val2017.json --images val2017 --rename couch=sofa
    python benchmarks/false_finds.py annotations.json --weights weights.safetensors --score 0.7 --json false.json

ANNOTATIONS is of any kind that `xdet convert` reads, and must have all things of the asked names. The model is asked
for all of them at once, as in panoptic segmentation. A segment is right if most of it lies in things of its name,
however many they are, and false otherwise: this does not measure how well things are divided, or how many are found.
Names in captions, and those to which it says yes ("is there a dog?"), are right if the image shows such a thing, and
counted apart where the result says itself that they are not seen.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.io.writing import write_json
from xdet.model_zoo import EMBEDDED
from xdet.structures.mentions import mentioned

if TYPE_CHECKING:
    from xdet.apis import XDecoderInferencer
    from xdet.datasets.exchange import AnnotatedImage


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', type=Path, help='labelled photographs')
    parser.add_argument('--images', type=Path, help='folder of the images (default: where the format has them)')
    parser.add_argument(
        '--names', nargs='+', default=EMBEDDED['photos'].vocabulary.names, metavar='NAME', help='(the 20 of photos)'
    )
    parser.add_argument('--rename', nargs='*', default=[], metavar='THEIRS=OURS', help='names that differ')
    parser.add_argument('--model', default='photos', help='(photos)')
    parser.add_argument('--weights', help='(those of the model)')
    parser.add_argument('--score', type=float, help="least score of a segment (the model's own)")
    parser.add_argument('--json', type=output_file, metavar='FILE', help='also write the numbers here')
    return parser.parse_args(argv)


def judge(
    found: Iterable[tuple[str, NDArray[np.bool_]]], image: AnnotatedImage, ours: Mapping[str, str]
) -> Counter[str | None]:
    """How many segments of an image are right, by None, and how many of each name are false."""
    there: dict[str, NDArray[np.bool_]] = {}
    for segment in image.segments:
        name = ours.get(segment.name, segment.name)
        there[name] = there.get(name, np.zeros(image.size, bool)) | segment.array()
    counts: Counter[str | None] = Counter()
    for name, mask in found:
        inside = (mask & there[name]).sum() if name in there else 0
        counts[None if inside > mask.sum() / 2 else name] += 1
    return counts


def judge_names(
    said: Iterable[str], unseen: Iterable[str], image: AnnotatedImage, ours: Mapping[str, str]
) -> Counter[str]:
    """How many of the names that were said are right and false, those that are unseen apart."""
    there = {ours.get(segment.name, segment.name) for segment in image.segments}
    return Counter(('right' if name in there else 'false') + ('_not_seen' if name in unseen else '') for name in said)


def said_yes(model: XDecoderInferencer, image: AnnotatedImage, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names of which a model says that they are there, and those of them that it does not see."""
    from xdet.datasets.transforms.describe_segments import article

    asked = {f'is there {article(name)}?': name for name in names}
    rows = model.ask(image.path, list(asked)).prediction['answers']
    yes = [row for row in rows if row['answers'][0]['answer'] == 'yes']
    return [asked[row['question']] for row in yes], [asked[row['question']] for row in yes if row.get('unseen')]


def main(argv: Sequence[str] | None = None) -> None:
    """Ask about every image, count, print."""
    args = parse_args(argv)

    from xdet.apis import XDecoderInferencer
    from xdet.datasets.exchange import read_annotations
    from xdet.datasets.exchange.source import Source

    ours = dict(pair.rsplit('=', 1) for pair in args.rename)
    images = read_annotations(Source(args.annotations, args.images)).images
    model = XDecoderInferencer(args.model, args.weights)
    counts: list[Counter[str | None]] = []
    captions: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for image in images:
        found = model.segment(image.path, list(args.names), score=args.score)
        counts.append(judge(zip(found.names, found.masks, strict=True), image, ours))
        if 'caption' in model.task_names:
            caption = model.caption(image.path)
            captions += judge_names(mentioned(caption.text, args.names), caption.unseen, image, ours)
        if 'vqa' in model.task_names:
            answers += judge_names(*said_yes(model, image, args.names), image, ours)
    report = dict(summary(counts), names_in_captions=captions, said_to_be_there=answers)
    print(json.dumps(report, indent=1))
    if args.json:
        write_json(args.json, report, indent=1)


def summary(counts: Sequence[Counter[str | None]]) -> dict[str, Any]:
    """Numbers of all images."""
    names: Counter[str | None] = sum(counts, Counter())
    right = names.pop(None, 0)
    false = [count.total() - count[None] for count in counts]
    return dict(
        images=len(counts),
        right=right,
        false=names.total(),
        images_with_false=sum(map(bool, false)),
        false_by_name=dict(names.most_common()),
    )


if __name__ == '__main__':
    raise SystemExit(run_program(main))
