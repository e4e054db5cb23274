"""Every task of the model that comes with the package, on one picture of its generated world.

    python demo/tour.py
    python demo/tour.py scene.png --phrases "the red ring" --questions "how many circles are there?"

The picture is encoded once, all tasks share it. Retrieval ranks it among a few other generated scenes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parent / 'demo_scene.png'
_OTHERS = 15  # scenes that retrieval chooses from besides the picture


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line; the prompts describe the committed picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('image', nargs='?', default=str(DEMO), help='a picture of the generated world')
    parser.add_argument('--phrases', default='the red cross . the lowest cross', help='what to find and to describe')
    parser.add_argument(
        '--questions',
        default='what shape is the blue object? . what colour is the heart? . is there a purple star?',
        help='questions about the picture',
    )
    parser.add_argument(
        '--text',
        default='sky above sand with a red cross, an orange cross, a green heart and a blue circle',
        help='what retrieval looks for',
    )
    parser.add_argument('--out-dir', default='outputs/tour', help='one folder per task (default: outputs/tour)')
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda, cuda:N or mps')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Run and print every task."""
    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.apis import XDecoderInferencer

    inferencer = XDecoderInferencer(device=args.device)
    inferencer.set_image(args.image)
    requests = {
        'panoptic': {},
        'instance': {},
        'semantic': {},
        'refseg': dict(phrases=args.phrases),
        'caption': dict(num_beams=5),
        'refcaption': dict(phrases=args.phrases, max_tokens=12),
        'vqa': dict(questions=args.questions),
        'classification': {},
    }
    for task, prompts in requests.items():
        print(f'\n{task}')
        inferencer.predict(task, out_dir=Path(args.out_dir) / task, print_result=True, **prompts)
    print('\nretrieval')
    pictures = [args.image, *scenes(_OTHERS)]
    result = inferencer(
        pictures, task='retrieval', texts=[args.text], out_dir=Path(args.out_dir) / 'retrieval', show_progress=False
    )
    for ranking in result['rankings']:
        print(f"best of {len(pictures)} pictures for '{ranking['text']}':")
        for place in ranking['images'][:3]:
            print(f'  {place["score"]:+.3f}  {place["image"]}')
    print(f'\npictures and results in {args.out_dir}')
    return 0


def scenes(count: int) -> list:
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
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
