"""Every task of the models that come with the package, on committed photographs and on a scene of the generated world.

    python demo/tour.py
    python demo/tour.py cat.jpg dog.jpg --phrases "the cat" --questions "is there a dog? . how many dogs are there?"
    python demo/tour.py scene.png --model scenes --phrases "the red ring"

Each image is encoded once, all tasks share it. Retrieval ranks the images of a model, scenes among a few others. With
--model photos or --model scenes only that part is shown; images of yours are taken for photographs unless you say so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xdet.cli.chosen_model import add_device_options
from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.cli.running import run_program
from xdet.io.terminal import tell

DEMO = Path(__file__).resolve().parent
_OTHERS = 15  # scenes that retrieval chooses from besides the images
_PANEL, _FONT = 512, 18  # longer side of an image on the sheet, height of its texts


@dataclass(frozen=True)
class Questions:
    """What one image is asked.

    Attributes:
        phrases (str): What to find, and to describe if the model has learned that.
        questions (str): To be answered.
    """

    phrases: str
    questions: str


@dataclass(frozen=True)
class Part:
    """The tour of one model.

    Attributes:
        images (Mapping[Path, Questions]): Committed images, and what each is asked.
        texts (str): What retrieval looks for.
        tasks (Mapping[str, Mapping]): Tasks and their settings; retrieval comes at the end.
        other (Questions): What images of a user are asked.
        others (int): Generated scenes among which retrieval looks.
    """

    images: Mapping[Path, Questions]
    texts: str
    tasks: Mapping[str, Mapping[str, Any]]
    other: Questions
    others: int = 0


_SEGMENTS: dict[str, dict] = dict(panoptic={}, instance={}, semantic={}, refseg={})
PARTS = dict(
    photos=Part(
        images={
            DEMO / 'photos' / 'chelsea.jpg': Questions(
                'the cat . the animal', 'what animal is this? . how many cats are there? . is there a person?'
            ),
            DEMO / 'photos' / 'astronaut.jpg': Questions(
                'the person . the woman', 'how many people are there? . is there a cat? . is there a person?'
            ),
            DEMO / 'photos' / 'coffee.jpg': Questions('the cup', 'is there a cat? . is there a dog?'),
        },
        texts='a cat . a woman in a suit . a cup on a table',
        # Descriptions of regions and classification of images were not trained with photographs.
        tasks={**_SEGMENTS, 'caption': dict(num_beams=5), 'vqa': {}},
        other=Questions('the animal . the person', 'what animal is this? . is there a person?'),
    ),
    scenes=Part(
        images={
            DEMO / 'demo_scene.png': Questions(
                'the red cross . the lowest cross',
                'what shape is the blue object? . what colour is the heart? . is there a purple star?',
            )
        },
        texts='sky above sand with a red cross, an orange cross, a green heart and a blue circle',
        tasks={
            **_SEGMENTS,
            'caption': dict(num_beams=5),
            'refcaption': dict(max_tokens=12),
            'vqa': {},
            'classification': {},
        },
        other=Questions('the red circle', 'how many shapes are there?'),
        others=_OTHERS,
    ),
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line; without images, those committed are taken, with prompts that fit each."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('image', nargs='*', help='images of yours instead of the committed ones')
    parser.add_argument('--model', choices=tuple(PARTS), help='show only this one (all; with images of yours: photos)')
    parser.add_argument('--phrases', help='what to find, in every image')
    parser.add_argument('--questions', help='questions about every image')
    parser.add_argument('--texts', help='what retrieval looks for')
    parser.add_argument(
        '--out-dir',
        type=output_folder,
        default='outputs/tour',
        help='a folder per model and task (default: outputs/tour)',
    )
    add_device_options(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Run and print every task of every chosen part."""
    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.inference.asking import check_request
    if args.image:
        check_request(args.image, 'caption', args.out_dir)  # before a model is built
    chosen = args.model or ('photos' if args.image else None)
    for name, part in PARTS.items():
        if chosen in (None, name):
            show(name, part, args)
    tell('', f'images and results in {args.out_dir}')
    return 0


def show(name: str, part: Part, args: argparse.Namespace) -> None:
    """One model: its tasks on each image, retrieval, and a sheet of segments, phrases and texts of all images."""
    from xdet.compat.quiet import quiet_imports
    from xdet.io.writing import write_image

    with quiet_imports():
        from xdet.apis import XDecoderInferencer
        from xdet.structures import FORMATS
        from xdet.visualization import TextLine, add_text_strip, below, beside, thumbnail

    inferencer = XDecoderInferencer(name, device=args.device, precision=args.precision)
    folder = Path(args.out_dir) / name
    tell('', f'model {name}: {inferencer.embedded.knows}')
    images = {path: part.images.get(Path(path).resolve(), part.other) for path in args.image} or part.images
    rows = []
    for image, asked in images.items():
        pixels = inferencer.set_image(str(image)).image[..., ::-1]
        prompts = dict(phrases=args.phrases or asked.phrases, questions=args.questions or asked.questions)
        drawn, found = {}, {}
        for task, settings in part.tasks.items():
            tell('', f'{task}')
            wanted = {'refseg': ('phrases',), 'refcaption': ('phrases',), 'vqa': ('questions',)}.get(task, ())
            options = {**settings, **{key: prompts[key] for key in wanted}}
            result = inferencer.predict(task, out_dir=folder / task, print_result=True, return_vis=True, **options)
            drawn[task], found[task] = result['visualization'][0], result['predictions'][0]
        lines = [TextLine(line, bold=True) for line in FORMATS['caption'].summary(found['caption'], 0.0)]
        lines += [TextLine(f'{said["question"]}  {said["answers"][0]["answer"]}') for said in found['vqa']['answers']]
        panels = [thumbnail(panel, _PANEL) for panel in (drawn['panoptic'], drawn['refseg'], pixels)]
        rows.append(beside([*panels[:2], add_text_strip(panels[2], lines, _FONT)]))
    write_image(folder / 'sheet.png', below(rows))
    tell('', 'retrieval')
    candidates = [*map(str, images), *scenes(part.others)]
    result = inferencer(
        candidates, task='retrieval', texts=args.texts or part.texts, out_dir=folder / 'retrieval', show_progress=False
    )
    for ranking in result['rankings']:
        tell(f"best of {len(candidates)} images for '{ranking['text']}':")
        for place in ranking['images'][:3]:
            tell(f'  {place["score"]:+.3f}  {place["image"]}')


def scenes(count: int) -> list[np.ndarray]:
    """Held-out generated scenes, BGR uint8 arrays."""
    from xdet.scenes.render import render_scene
    from xdet.scenes.sampling import sample_scene

    return [render_scene(sample_scene('test', 0, index), 128).image for index in range(count)]


def main(argv: list[str] | None = None) -> int:
    """Entry point: every foreseeable error is one line on stderr and exit code 2."""
    args = parse_args(argv)
    try:
        return run(args)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        tell(f'error: {" ".join(str(error).split())}', error=True)
        return 2


if __name__ == '__main__':
    sys.exit(run_program(main))
