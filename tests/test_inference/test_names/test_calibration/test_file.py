"""The file beside weights is kept, belongs to them, and is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from xdet.apis import XDecoderInferencer
from xdet.inference.names.calibration import Calibration, Threshold, load_beside
from xdet.model_zoo import EMBEDDED


def test_file_goes_round_and_belongs_to_its_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = tmp_path / 'w.safetensors'
    weights.touch()
    beside = tmp_path / 'w.calibration.json'
    threshold = Threshold(0.3, 0.05, 40, 80, ['wall'])
    Calibration('abc').with_threshold('names', threshold).save(beside)
    loaded = load_beside(str(weights), lambda: 'abc')
    assert loaded is not None and loaded.thresholds == {'names': threshold}
    assert loaded.presence('instance') == 0.3 and loaded.presence('refseg') is None
    assert load_beside(str(weights), lambda: 'other') is None and 'belongs to other weights' in caplog.text
    assert load_beside(None, lambda: '') is None and load_beside('https://a/b.pth', lambda: '') is None


@pytest.mark.parametrize(
    'content, told',
    [
        ('{', 'not valid JSON'),
        ('{}', "'format' is missing"),
        ('{"format": 2, "thresholds": {}}', 'reads 1'),
        ('{"format": 1, "thresholds": {"masks": {}}}', 'accepted are names, phrases'),
        (
            '{"format": 1, "thresholds": {"names": {"presence": 7, "alpha": 0.1, "images": 1, "absent": 1, '
            '"background": []}}}',
            "'presence' is 7",
        ),
    ],
)
def test_damaged_files(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / 'c.json').write_text(content)
    with pytest.raises(ValueError, match=told):
        Calibration.load(tmp_path / 'c.json')


def test_calibration_of_other_weights_is_refused(tmp_path: Path) -> None:
    Calibration('abc').save(tmp_path / 'c.json')
    with pytest.raises(ValueError, match='belongs to other weights'):
        XDecoderInferencer('scenes', device='cpu', calibration=tmp_path / 'c.json')
    assert not EMBEDDED['scenes'].weights.with_suffix('.calibration.json').exists()
