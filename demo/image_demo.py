"""Segments pictures with the class names you type.

    python demo/image_demo.py demo/demo_scene.png
    python demo/image_demo.py street.jpg --model xdecoder_focal-t --weights FILE --things "car . person" --stuff "road"

Without --model and --weights, the small model that comes with the package is used. It knows generated scenes only;
photographs need official or own weights.

Exit codes: 0 all pictures done, 1 some pictures of a folder failed, 2 wrong usage or nothing could be done.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('image', nargs='+', help='picture files, folders or URLs')
    parser.add_argument('--model', help='name of a shipped config or path of a config file')
    parser.add_argument('--weights', help='checkpoint file or URL, official or ours')
    parser.add_argument('--task', default='panoptic', help='semantic, instance or panoptic (default)')
    parser.add_argument('--things', help='countable classes, "dog . cat"')
    parser.add_argument('--stuff', help='uncountable classes, "grass . sky"')
    parser.add_argument('--classes', help='classes, when you make no difference between things and stuff')
    parser.add_argument('--vocabulary', help='a known class list, such as coco_panoptic')
    parser.add_argument('--out-dir', default='outputs', help='folder for preds/ and vis/ (default: outputs)')
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda, cuda:N or mps')
    parser.add_argument('--pred-score-thr', type=float, default=0.3, help='instances below are not shown (0.3)')
    parser.add_argument('--batch-size', type=int, default=1, help='pictures per forward pass')
    parser.add_argument('--random-weights', action='store_true', help='untrained model (to try the installation)')
    parser.add_argument('--no-save-pred', action='store_true', help='write pictures only')
    parser.add_argument('--no-save-vis', action='store_true', help='write JSON and maps only')
    parser.add_argument('--debug', action='store_true', help='show the traceback of errors')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Segment, print what was found, say where the files lie; returns the exit code."""
    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.apis import XDecoderInferencer

    inferencer = XDecoderInferencer(args.model, args.weights, args.device, random_weights=args.random_weights)
    result = inferencer(
        args.image[0] if len(args.image) == 1 else args.image,
        task=args.task,
        things=args.things,
        stuff=args.stuff,
        classes=args.classes,
        vocabulary=args.vocabulary,
        batch_size=args.batch_size,
        out_dir=args.out_dir,
        pred_score_thr=args.pred_score_thr,
        no_save_pred=args.no_save_pred,
        no_save_vis=args.no_save_vis,
        print_result=True,
    )
    if not result['predictions']:
        return 2
    for key, wanted, what in (('vis', not args.no_save_vis, 'pictures'), ('preds', not args.no_save_pred, 'results')):
        if wanted:
            print(f'{what} in {Path(args.out_dir) / key}')
    return 1 if result['failed'] else 0


def main(argv: list[str] | None = None) -> int:
    """Entry point: every foreseeable error is one line on stderr and exit code 2."""
    args = parse_args(argv)
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
