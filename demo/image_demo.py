"""Every task of a model on your pictures, with the words you type.

    python demo/image_demo.py demo/demo_scene.png
    python demo/image_demo.py street.jpg --model xdecoder_focal-t --weights FILE --things "car . person" --stuff "road"
    python demo/image_demo.py street.jpg --model ... --task refseg --phrases "the red car . a person on the left"
    python demo/image_demo.py street.jpg --model ... --task caption --num-beams 5
    python demo/image_demo.py street.jpg --model ... --task refcaption --boxes "10 20 110 90; 0 0 50 50"
    python demo/image_demo.py street.jpg --model ... --task vqa --questions "what color is the car?"
    python demo/image_demo.py street.jpg --model ... --task classification --classes "street . beach . kitchen"
    python demo/image_demo.py photos/    --model ... --task retrieval --texts "a dog on a beach"

Several phrases, questions or texts are separated by a full stop between spaces. Without --model and --weights, the
small model that comes with the package is used. It knows generated scenes only; photographs need official or own
weights.

Exit codes: 0 all pictures done, 1 some pictures of several failed, 2 wrong usage or nothing could be done.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

PROMPTS = ('things', 'stuff', 'classes', 'vocabulary', 'phrases', 'boxes', 'masks', 'questions', 'texts')
GENERATION = ('num_beams', 'length_penalty', 'top_p', 'temperature', 'seed', 'max_tokens', 'num_texts')
REPORT = ('pred_score_thr', 'no_save_pred', 'no_save_vis')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('image', nargs='+', help='picture files, folders or URLs')
    parser.add_argument(
        '--task',
        default='panoptic',
        help='semantic, instance, panoptic (default), refseg, caption, refcaption, vqa, classification or retrieval',
    )
    _add_model(parser.add_argument_group('model'))
    _add_prompts(parser.add_argument_group('what to look for (which of these depends on the task)'))
    _add_generation(parser.add_argument_group('how captions are written (caption, refcaption)'))
    output = parser.add_argument_group('output')
    output.add_argument('--out-dir', default='outputs', help='folder for preds/ and vis/ (default: outputs)')
    output.add_argument('--pred-score-thr', type=float, help='instances, phrases below are not shown (0.3)')
    output.add_argument('--no-save-pred', action='store_true', help='write pictures only')
    output.add_argument('--no-save-vis', action='store_true', help='write JSON and maps only')
    output.add_argument('--debug', action='store_true', help='show the traceback of errors')
    return parser.parse_args(argv)


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument('--model', help='name of a shipped config or path of a config file')
    group.add_argument('--weights', help='checkpoint file or URL, official or ours')
    group.add_argument('--random-weights', action='store_true', help='untrained model (to try the installation)')
    group.add_argument('--text-embeddings', help='class names embedded before, by tools/misc/embed_vocabulary.py')
    group.add_argument('--device', default='auto', help='auto (default), cpu, cuda, cuda:N or mps')
    group.add_argument('--batch-size', type=int, default=1, help='pictures per forward pass (1)')


def _add_prompts(group: argparse._ArgumentGroup) -> None:
    group.add_argument('--things', help='countable classes, "dog . cat"')
    group.add_argument('--stuff', help='uncountable classes, "grass . sky"')
    group.add_argument('--classes', help='classes, when you make no difference between things and stuff')
    group.add_argument('--vocabulary', help='a known class list, such as coco_panoptic')
    group.add_argument('--phrases', help='what to find or describe, "the red car . a person"')
    group.add_argument('--boxes', type=boxes, help='regions to describe in pixels, "x1 y1 x2 y2; x1 y1 x2 y2"')
    group.add_argument(
        '--mask', action='append', dest='masks', metavar='FILE', help='region to describe, all but black (repeatable)'
    )
    group.add_argument('--questions', help='questions about the picture, "what is it? . what color is it?"')
    group.add_argument('--texts', help='texts that rank the pictures, "a dog on a beach . a street"')


def _add_generation(group: argparse._ArgumentGroup) -> None:
    group.add_argument('--num-beams', type=int, help='beams of beam search; 1 is greedy (default)')
    group.add_argument(
        '--length-penalty', type=float, help='beam search: 0 prefers short texts, 1 ranks by the mean (1)'
    )
    group.add_argument('--top-p', type=float, help='sample from the words that have this probability together')
    group.add_argument('--temperature', type=float, help='of sampling (1)')
    group.add_argument('--seed', type=int, help='of sampling (0)')
    group.add_argument('--max-tokens', type=int, help='longest text (50)')
    group.add_argument('--num-texts', type=int, help='texts per picture or region (1)')


def boxes(text: str) -> list[list[float]]:
    """Boxes ``'x1 y1 x2 y2; x1 y1 x2 y2'``, numbers separated by spaces or commas."""
    try:
        rows = [[float(number) for number in row.replace(',', ' ').split()] for row in text.split(';') if row.strip()]
    except ValueError:
        rows = []
    if not rows or any(len(row) != 4 for row in rows):
        raise argparse.ArgumentTypeError(f'{text!r} are no boxes; accepted is "x1 y1 x2 y2; x1 y1 x2 y2"')
    return rows


def run(args: argparse.Namespace) -> int:
    """Run the task, print what was found, say where the files lie; returns the exit code."""
    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.apis import XDecoderInferencer

    inferencer = XDecoderInferencer(
        args.model, args.weights, args.device, args.random_weights, text_embeddings=args.text_embeddings
    )
    result = inferencer(
        args.image[0] if len(args.image) == 1 else args.image,
        task=args.task,
        batch_size=args.batch_size,
        out_dir=args.out_dir,
        print_result=True,
        **{name: getattr(args, name) for name in (*PROMPTS, *GENERATION, *REPORT)},
    )
    if not result['predictions']:
        return 2
    for key, wanted, what in (('vis', not args.no_save_vis, 'pictures'), ('preds', not args.no_save_pred, 'results')):
        if wanted:
            print(f'{what} in {Path(args.out_dir) / key}')
    if result.get('rankings'):
        print(f'rankings in {args.out_dir}')
    return 1 if result['failed'] else 0


def main(argv: list[str] | None = None) -> int:
    """Entry point: every foreseeable error is one line on stderr and exit code 2."""
    args = parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='replace')  # a terminal may not know every letter of a phrase
    try:
        return run(args)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        if args.debug:
            raise
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
