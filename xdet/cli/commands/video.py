"""Segments a film and follows what it shows: the same object has the same number and colour in all frames.

    xdet video IN.mp4 OUT.mp4
    xdet video IN.mp4 OUT.mp4 --things "dog . person" --stuff "grass . sky"
    xdet video IN.mp4 OUT.mp4 --task refseg --phrases "the left dog"
    xdet video frames/ outputs/frames --fps 10
    xdet video 0 OUT.mp4 --frames 100

IN is a film, a folder of images in the order of their names, or the number of a camera. Beside OUT.mp4 lies OUT.jsonl,
with a line of JSON for every frame; OUT.jsonl instead of OUT.mp4 writes nothing else, and a folder gets numbered images
and frames.jsonl. Without --model, a small model that comes with the package is used; --model photos and --model scenes
choose one (docs/model_cards.md says what each knows).

Exit codes: 0 done, 1 the film is damaged and ends early (what could be read is written), 2 wrong usage or nothing could
be done, 130 interrupted (frames so far are written).
"""

from __future__ import annotations

import argparse
import os
import time

from xdet.cli.chosen_model import add_model_options, open_model, refuse_unread_companions
from xdet.cli.errors import add_debug, program
from xdet.cli.parsing import Parser, refuse_unread
from xdet.io.terminal import tell
from xdet.options import PROMPTS, THRESHOLDS, add_arguments

_PROMPTS = ('things', 'stuff', 'classes', 'vocabulary', 'phrases')


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('film', metavar='IN', help='film, folder of images, or number of a camera')
    parser.add_argument('out', metavar='OUT', help='film (.mp4, .avi, .mkv, .mov, .webm), results (.jsonl) or folder')
    parser.add_argument('--task', default='panoptic', help='panoptic (default), instance or refseg')
    parser.add_argument('--every', type=int, default=1, help='look at every so many frames only (1)')
    parser.add_argument('--frames', type=int, help='stop after so many results')
    parser.add_argument('--memory', type=int, default=60, help='frames for which a lost object is remembered (60)')
    parser.add_argument('--fps', type=float, help="frames per second (the film's own, or 25)")
    model = parser.add_argument_group('model')
    add_model_options(model, companions=True)
    add_arguments(parser.add_argument_group('prompts (which of these depends on the task)'), _prompts())
    add_arguments(parser.add_argument_group('what is reported'), THRESHOLDS.values())
    output = parser.add_argument_group('output')
    output.add_argument('--no-save-pred', action='store_true', help='write the film or images only')
    output.add_argument('--no-save-vis', action='store_true', help='write results only')
    add_debug(output)
    return parser


def _prompts() -> list:
    return [PROMPTS[name] for name in _PROMPTS]


def run(args: argparse.Namespace) -> int:
    """Follow the film, say what was found and where it lies; returns the exit code."""
    from xdet.compat.quiet import quiet_imports
    from xdet.io.schema import number

    with quiet_imports():
        from xdet.inference.films import check_film
        from xdet.video.writing import LINES, check_output, writing_film

    limit = None if args.frames is None else number('frames', args.frames, int, 1)
    options = {name: getattr(args, name) for name in (*_PROMPTS, *THRESHOLDS)}
    if args.no_save_vis and args.no_save_pred:
        raise ValueError('--no-save-vis and --no-save-pred together leave nothing to write; give one of them')
    refuse_unread_companions(args)
    out = check_output(args.out)
    lines = out.suffix.lower() == LINES
    refuse_unread(args, lines, f'leaves nothing to write; OUT is {out.name}, which holds results alone', 'no_save_pred')
    if out.is_file() and os.path.exists(args.film) and out.samefile(args.film):
        raise ValueError(f'OUT is IN ({args.out}), which would be gone; give another name')
    check_film(args.film, args.task, args.every, args.memory, args.fps, **options)  # before the model is built
    inferencer = open_model(args)
    film = inferencer.open_film(args.film, args.task, args.every, args.memory, args.fps, **options)
    seen: dict[int, list] = {}
    interrupted, start = False, time.perf_counter()
    with writing_film(out, film.fps, not args.no_save_vis, not args.no_save_pred) as writer:
        try:
            for found in film.results:
                writer.add(found.prediction, found.plot() if writer.draws else None)
                for name, track in zip(found.names, found.tracks.tolist(), strict=True):
                    if track:
                        entry = seen.setdefault(track, [name, 0])
                        entry[:] = [name, entry[1] + 1]
                if writer.frames == limit:
                    break
        except KeyboardInterrupt:
            interrupted = True
            if not writer.frames:
                raise
    film.film.close()
    for track, (name, count) in sorted(seen.items(), key=lambda item: -item[1][1])[:20]:
        tell(f'  #{track:<4} {name}  {count} of {writer.frames} frames')
    if len(seen) > 20:
        tell(f'  and {len(seen) - 20} more')
    speed = writer.frames / (time.perf_counter() - start)
    tell(f'{writer.frames} frames, {speed:.1f} per second, in {out}')
    if film.film.broken:
        tell(f'error: {film.film.broken}', error=True)
        return 1
    if interrupted:
        tell('interrupted', error=True)
        return 130
    return 0


main = program(parser, run)
