"""Put poses that the inferencer wrote into one result file of COCO's keypoint task.

    python demo/image_demo.py photos/ --model xdecoder_lite0-nano_pose-photos --weights FILE \\
        --task pose --things "cat . dog" --out-dir outputs
    python tools/misc/poses_to_coco.py outputs/preds keypoints_val.json poses.json

Images and classes get the ids of the annotation file, which is asked by file name and class name. Files of other tasks
are an error; images and classes that the annotation file does not have are left out and told.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.datasets.files.coco_keypoints import KeypointFile
from xdet.datasets.files.left_out import LeftOut
from xdet.io.reading import listed, read_json
from xdet.io.schema import checked, require
from xdet.io.terminal import tell
from xdet.io.writing import write_json
from xdet.tasks.pose_format import CocoPose, coco_pose


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(
        description=__doc__.splitlines()[0], epilog=__doc__.split('\n', 2)[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument('preds', type=Path, help='folder of JSON files, as the inferencer writes them')
    parser.add_argument('ann_file', help='COCO annotation file with keypoints')
    parser.add_argument('out', type=output_file, help='result file to write')
    parser.add_argument('--overwrite', action='store_true', help='replace the file if it is there already')
    return parser.parse_args()


def rows_of(path: Path, file: KeypointFile, left_out: LeftOut) -> list[CocoPose]:
    """Rows of one file.

    Raises:
        ValueError: It does not hold poses with the keypoints of the annotation file.
    """
    content = read_json(path)
    name = require(content, 'image', str, f'{path}')
    poses = require(content, 'poses', list, f'{path}: not a result of the task pose')
    image = file.find(name)
    if image is None:
        left_out.add('are of images that the annotation file does not list', f'in {name}')
        return []
    ids = {category: number for number, category in file.categories.items()}
    rows = []
    for position, pose in enumerate(poses):
        where = f'{path}: pose {position} (counted from 0)'
        _check(pose, file, where)
        if pose['name'] in ids:
            rows.append(coco_pose(pose, image.id, ids[pose['name']]))
        else:
            left_out.add('are of classes without keypoints there', f'{pose["name"]!r} in {name}')
    return rows


def _check(pose: Any, file: KeypointFile, where: str) -> None:
    for key, kind in dict(name=str, score=float, bbox=list, keypoints=list).items():
        require(pose, key, kind, where)
    if len(pose['bbox']) != 4:
        raise ValueError(f"{where}: 'bbox' has {len(pose['bbox'])} numbers; it must be [x, y, width, height]")
    for side in pose['bbox']:
        checked(side, float, f"{where}: a number in 'bbox'")
    names = tuple(require(point, 'name', str, where) for point in pose['keypoints'])
    if names != file.names:
        raise ValueError(f'{where}: has the keypoints {listed(names)}, but {file.path} those of {listed(file.names)}')
    for point in pose['keypoints']:
        for key in ('x', 'y', 'score'):
            require(point, key, float, f'{where}: {point["name"]}')


def main() -> None:
    """Read all files, then write one."""
    args = parse_args()
    with one_line_errors('poses', OSError, ValueError):
        if args.out.exists() and not args.overwrite:
            raise ValueError(f'{args.out} exists; --overwrite replaces it')
        paths = sorted(args.preds.glob('*.json'))
        if not paths:
            raise ValueError(f'{args.preds}: no such folder, or no JSON file in it')
        file, left_out = KeypointFile(args.ann_file), LeftOut(str(args.preds), 'poses')
        rows = [row for path in paths for row in rows_of(path, file, left_out)]
        write_json(args.out, rows)
    tell(f'{args.out}: {len(rows)} poses of {len(paths)} images')
    if left_out.total:
        tell(f'warning: {left_out}')


if __name__ == '__main__':
    sys.exit(run_program(main))
