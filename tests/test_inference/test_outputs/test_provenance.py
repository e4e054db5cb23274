"""Results say where they come from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from xdet.inference.inputs.requests import make_requests
from xdet.inference.outputs.provenance import Origin, asked
from xdet.version import __version__


@pytest.mark.parametrize('knows', ['knows shapes', ''])
def test_origin(tmp_path: Path, knows: str) -> None:
    (tmp_path / 'w.pth').write_bytes(b'weights')
    facts = Origin('a_config', str(tmp_path / 'w.pth'), knows).describe()
    assert facts['weights_sha256'] == hashlib.sha256(b'weights').hexdigest()
    assert (facts['xdet'], facts['model'], facts['weights']) == (__version__, 'a_config', 'w.pth')
    assert facts.get('note') == (knows or None)


def test_untrained_models_have_no_weights() -> None:
    facts = Origin('a_config', None).describe()
    assert facts['weights'] is None and facts['weights_sha256'] is None


@pytest.mark.parametrize(
    ('task', 'prompts', 'generation', 'expected'),
    [
        ('refseg', dict(phrases='a cat . a dog'), {}, dict(phrases=['a cat', 'a dog'])),
        ('vqa', dict(questions=['why?']), {}, dict(questions=['why?'])),
        ('retrieval', dict(texts='sea'), {}, dict(texts=['sea'])),
        (
            'refcaption',
            dict(boxes='0 0 5 6'),
            dict(num_beams=2),
            dict(boxes=[[0, 0, 5, 6]], generation={'num_beams': 2}),
        ),
        ('refcaption', dict(masks=np.ones((2, 3, 4), bool)), {}, dict(masks=2)),
        ('panoptic', dict(classes='cat'), {}, {}),
    ],
)
def test_prompts_are_plain_data(task: str, prompts: dict, generation: dict, expected: dict) -> None:
    (request,) = make_requests(task, prompts, generation, 1)
    assert json.loads(json.dumps(asked(request))) == expected
