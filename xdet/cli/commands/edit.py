"""Removes what a phrase means in an image, or replaces it with an inpainting pipeline of yours.

    xdet edit street.jpg --phrase "the red car"
    xdet edit street.jpg --phrase "the red car" --prompt "a horse" --pipeline FOLDER --model NAME --weights FILE

Without --prompt, what the phrase means is removed; without --pipeline the gap is filled from what lies around it, which
suits small things. FOLDER is an inpainting pipeline that diffusers saved (pip install diffusers transformers); nothing
is downloaded. Without --model, a small model that comes with the package is
used; --model photos and --model scenes choose one (docs/model_cards.md says what each knows).

Exit codes: 0 done, 2 wrong usage or nothing could be done.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from xdet.cli.chosen_model import add_model_options, open_model
from xdet.cli.errors import add_debug, program
from xdet.cli.parsing import Parser, refuse_unread
from xdet.cli.places import output_folder
from xdet.io.terminal import tell


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('image', help='image file or URL')
    parser.add_argument('--phrase', required=True, help='what to edit, "the dog on the left"')
    parser.add_argument('--prompt', help='what to paint in its place; nothing removes it')
    parser.add_argument('--pipeline', help='folder of an inpainting pipeline (none: fill from around)')
    parser.add_argument('--dilation', type=int, help='pixels by which the mask grows (3; without --pipeline 12)')
    parser.add_argument('--feather', type=int, default=0, help='pixels of a soft edge inside the mask (0)')
    parser.add_argument('--size', type=int, default=512, help='shortest side at which is painted (512)')
    parser.add_argument('--steps', type=int, help="diffusion steps (the pipeline's own)")
    parser.add_argument('--seed', type=int, help='of the pipeline')
    add_model_options(parser)
    parser.add_argument('--out-dir', type=output_folder, default='outputs', help='for results (default: outputs)')
    add_debug(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Edit, write the image and the mask, say where they lie; returns the exit code."""
    import numpy as np

    from xdet.compat.quiet import quiet_imports
    from xdet.io.writing import write_image

    with quiet_imports():
        from xdet.apis import REMOVAL_PROMPT, edit_image, load_inpainting_pipeline
        from xdet.inference.inputs.images import expand_images

    for source in expand_images(args.image)[0]:
        source.read()  # before the model is built, which takes seconds
    why = 'needs an inpainting pipeline; give --pipeline FOLDER'
    refuse_unread(args, args.pipeline is None, why, 'prompt', 'steps', 'seed')
    if args.pipeline and not Path(args.pipeline).expanduser().is_dir():
        raise FileNotFoundError(f"inpainting pipeline '{args.pipeline}' is not a folder; give one that diffusers saved")
    inferencer = open_model(args)
    options = dict(num_inference_steps=args.steps) if args.steps is not None else {}
    result = edit_image(
        inferencer,
        args.image,
        args.phrase,
        args.prompt or REMOVAL_PROMPT,
        pipeline=args.pipeline and load_inpainting_pipeline(args.pipeline, inferencer.device),
        dilation=args.dilation,
        feather=args.feather,
        shortest_side=args.size,
        seed=args.seed,
        **options,
    )
    stem = Path(args.image.split('?')[0]).stem
    write_image(args.out_dir / f'{stem}_edited.png', np.asarray(result.image))
    write_image(args.out_dir / f'{stem}_mask.png', result.mask)
    tell(f'{args.phrase}: {100 * result.mask.mean():.1f} % of the image, score {result.score:.2f}')
    tell(f'results in {args.out_dir}')
    return 0


main = program(parser, run)
