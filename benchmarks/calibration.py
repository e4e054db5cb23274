"""What calibration of presence brings: absent names and phrases that are reported, before and after, on new images.

    python benchmarks/calibration.py --photos data/photos/voc_animals --limit 150 --out calibration.json
    python benchmarks/calibration.py --limit 150

With --photos, the embedded model `photos` looks at validation photographs (docs/photos.md says what the folder holds);
without, `scenes` looks at generated scenes of the test split. Three ways of asking: all class names at once; one name
alone, in the company of the other class names as background; phrases. Half of the images, drawn at random, gives the
thresholds, the other half is judged, for --halves draws, by the functions that `xdet calibrate --holdout 0.5` uses.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdet.cli.places import output_file
from xdet.io.writing import write_json

if TYPE_CHECKING:
    from xdet.inference.names.calibration import Case, Finding

SHARES = ('recall', 'false_per_image')
ALONE, TOGETHER = 'one name', 'one name, the others as background'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--photos', type=Path, help='folder of labelled photographs; without it, generated scenes')
    parser.add_argument('--limit', type=int, default=150, help='images, spread over the whole set (default: 150)')
    parser.add_argument('--alpha', type=float, nargs='+', default=[0.02, 0.05, 0.1], help='rates (0.02 0.05 0.1)')
    parser.add_argument('--halves', type=int, default=200, help='random halves that are averaged (default: 200)')
    parser.add_argument('--seed', type=int, default=0, help='of halves and of absent names (default: 0)')
    parser.add_argument('--out', type=output_file, help='JSON file of all numbers')
    return parser.parse_args(argv)


def spread(cases: Sequence[Case], limit: int) -> list[Case]:
    """Cases in equal distances."""
    chosen = np.unique(np.linspace(0, len(cases) - 1, min(limit, len(cases))).round().astype(int))
    return [cases[number] for number in chosen]


def photo_cases(folder: Path, limit: int, seed: int) -> dict[str, list[Case]]:
    """Names and phrases of validation photographs."""
    from xdet.inference.names.calibration import read_cases

    files = dict(names='panoptic_val.json', phrases='referring_val.json')
    return {
        kind: spread(read_cases(folder / file, folder / 'images' / 'val', seed)[1], limit)
        for kind, file in files.items()
    }


def scene_cases(folder: Path, limit: int, seed: int) -> dict[str, list[Case]]:
    """Names of generated scenes, and as many phrases with them ("the red circle") that are there as that are not."""
    import cv2

    from xdet.inference.names.calibration import Case
    from xdet.scenes.description import VOCABULARY
    from xdet.scenes.render import render_scene
    from xdet.scenes.sampling import sample_scene

    rng = random.Random(seed)
    names, phrases = [], []
    for index in range(limit):
        scene = render_scene(sample_scene('test', 0, index), 128)
        path = str(folder / f'{index}.png')
        cv2.imwrite(path, scene.image)
        there = sorted({VOCABULARY.names[info['label']] for info in scene.segments_info})
        absent = [name for name in VOCABULARY.names if name not in there]
        names.append(Case(path, tuple(there), tuple(absent)))
        strange = rng.sample(absent, len(there))
        phrases.append(Case(path, *(tuple(f'the {name}' for name in side) for side in (there, strange))))
    return dict(names=names, phrases=phrases)


def look_alone(inferencer: Any, cases: Sequence[Case], background: Sequence[str], seed: int) -> list[Finding]:
    """One present and one absent name of every image, each in a call of its own."""
    from xdet.inference.names.calibration import Finding, look

    rng = random.Random(seed)
    findings = []
    for case in cases:
        sides = [rng.choice(side) if side else None for side in (case.present, case.absent)]
        asked = [
            replace(case, present=() if place else (name,), absent=(name,) if place else ())
            for place, name in enumerate(sides)
            if name is not None
        ]
        found = look(inferencer, 'names', asked, background=background)
        fields = ('present', 'absent', 'present_reported', 'absent_reported')
        findings.append(Finding(*(np.concatenate([getattr(one, field) for one in found]) for field in fields)))
    return findings


def judge(
    findings: Sequence[Finding],
    before: Sequence[Finding],
    alphas: Sequence[float],
    halves: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Shares that are reported by every rule, in images that it has not seen: means of random halves.

    Args:
        findings (Sequence[Finding]): Of every image.
        before (Sequence[Finding]): Of the same images, asked as without calibration: equal recall means that of these
            by the task's own rule.
        alphas (Sequence[float]): Rates to be promised.
        halves (int): How often the images are divided.
        seed (int): Of the divisions.
    """
    from xdet.inference.names.calibration import learn, measure, presence_at_recall

    rng = np.random.default_rng(seed)
    rows: dict[str, list[dict[str, float]]] = {}
    for _ in range(halves):
        order = rng.permutation(len(findings))
        cut = len(order) // 2
        seen, new = ([findings[number] for number in part] for part in (order[:cut], order[cut:]))
        own, recall = measure(new), measure([before[number] for number in order[cut:]])['recall']
        rules: dict[str, float | None] = {'own rule': None, 'equal recall': presence_at_recall(new, recall)}
        rules.update({f'alpha {100 * alpha:g} %': learn('names', seen, alpha).presence for alpha in alphas})
        for rule, presence in rules.items():
            shares = own if presence is None else measure(new, presence)
            rows.setdefault(rule, []).append({share: shares[share] for share in SHARES} | dict(presence=presence or 0))
    return {
        rule: {key: float(np.mean([row[key] for row in found])) for key in found[0]}
        | dict(spread=float(np.std([row['false_per_image'] for row in found])))
        for rule, found in rows.items()
    }


def table(results: dict[str, Any]) -> str:
    """Markdown; shares of what is there and of what is not, in percent."""
    lines = ['| asked | rule | present found | absent found | threshold |', '|' + '---|' * 5]
    for asked, rules in results.items():
        for number, (rule, row) in enumerate(rules.items()):
            false = f'{100 * row["false_per_image"]:.1f} ± {100 * row["spread"]:.1f} %'
            presence = f'{row["presence"]:.3f}' if row['presence'] else ''
            lines.append(f'| {"" if number else asked} | {rule} | {100 * row["recall"]:.1f} % | {false} | {presence} |')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    args = parse_args(argv)
    from rich.console import Console
    from rich.progress import track

    from xdet.apis import XDecoderInferencer
    from xdet.inference.names.calibration import look

    inferencer = XDecoderInferencer('scenes' if args.photos is None else 'photos', device='cpu')
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        cases = (
            scene_cases(Path(folder), args.limit, args.seed)
            if args.photos is None
            else photo_cases(args.photos, args.limit, args.seed)
        )
        every = list(inferencer.embedded.vocabulary.names)
        found = {'all names': look(inferencer, 'names', track(cases['names'], 'all names', console=console))}
        for asked, background in ((ALONE, ()), (TOGETHER, every)):
            shown = track(cases['names'], asked, console=console)
            found[asked] = look_alone(inferencer, shown, background, args.seed)
        found['phrases'] = look(inferencer, 'phrases', track(cases['phrases'], 'phrases', console=console))
    results = {
        asked: judge(findings, found[ALONE if asked == TOGETHER else asked], args.alpha, args.halves, args.seed)
        for asked, findings in found.items()
    }
    for asked, findings in found.items():
        counts = [sum(len(getattr(one, side)) for one in findings) for side in ('present', 'absent')]
        print(f'{asked}: {len(findings)} images, {counts[0]} present, {counts[1]} absent')
    print(table(results))
    if args.out:
        write_json(args.out, results, indent=1)


if __name__ == '__main__':
    main()
