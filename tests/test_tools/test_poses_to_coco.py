"""tools/misc/poses_to_coco.py: ids by name, and one line for what cannot be read. A whole run: test_tasks/test_pose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny.poses import KEYPOINTS, TinyPoses
from tiny.tools import run_tool

TOOL = 'misc/poses_to_coco'


def pose(name: str = 'dog', **changes: Any) -> dict:
    points = [dict(name=point, x=index + 0.5, y=2.0, score=index / 3) for index, point in enumerate(KEYPOINTS)]
    return dict(name=name, score=0.5, bbox=[1, 2, 3, 4], keypoints=points) | changes


@pytest.fixture
def run(tmp_path: Path):
    file = TinyPoses(tmp_path / 'data', 2).write()
    (tmp_path / 'preds').mkdir()

    def call(*results: Any, options: tuple = ()) -> list[dict]:
        for index, result in enumerate(results):
            (tmp_path / 'preds' / f'{index}.json').write_text(json.dumps(result))
        run_tool(TOOL, tmp_path / 'preds', file, tmp_path / 'out.json', *options)
        return json.loads((tmp_path / 'out.json').read_text())

    return call


def test_rows(run, capsys: pytest.CaptureFixture) -> None:
    rows = run(
        dict(image='/x/1.png', poses=[pose(), pose('cat')]), dict(image='7.png', poses=[pose()]),
    )  # fmt: skip
    assert rows == [
        dict(image_id=101, category_id=1, score=0.5, bbox=[1, 2, 3, 4],
             keypoints=[0.5, 2, 1, 1.5, 2, 1, 2.5, 2, 2, 3.5, 2, 2])
    ]  # fmt: skip
    out = capsys.readouterr().out
    assert '1 poses of 2 images' in out and "'cat' in /x/1.png" in out and 'in 7.png' in out
    with pytest.raises(SystemExit, match='out.json exists; --overwrite replaces it'):
        run()
    assert run(options=('--overwrite',)) == rows


@pytest.mark.parametrize(
    ('result', 'message'),
    [
        ([1], 'it must be an object with keys'),
        (dict(image='1.png', segments=[]), "not a result of the task pose: 'poses' is missing"),
        (dict(image='1.png', poses=[pose(score='high')]), r"pose 0 \(counted from 0\): 'score' is 'high'"),
        (dict(image='1.png', poses=[pose(bbox=[1, 2])]), "'bbox' has 2 numbers"),
        (dict(image='1.png', poses=[pose(bbox=[1, 2, 'a', 4])]), "a number in 'bbox' is 'a'"),
        (
            dict(image='1.png', poses=[pose(keypoints=[])]),
            r'has the keypoints .* but .*keypoints.json those of left_eye',
        ),
        (
            dict(image='1.png', poses=[pose(keypoints=[dict(name=name) for name in KEYPOINTS])]),
            "left_eye: 'x' is missing",
        ),
    ],
)
def test_one_line_for_what_cannot_be_read(run, tmp_path: Path, result: Any, message: str) -> None:
    with pytest.raises(SystemExit, match=message) as info:
        run(result)
    assert '\n' not in str(info.value) and not (tmp_path / 'out.json').exists()


def test_an_empty_folder(run) -> None:
    with pytest.raises(SystemExit, match='no such folder, or no JSON file in it'):
        run()
