"""Exported models in fewer bytes still answer, and say what they are."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from xdet.inference.inputs.images import expand_images
from xdet.runtime import OnnxInferencer

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ('kind', 'share', 'difference'),
    [('fp16', 0.52, 1e-3), ('bf16', 0.52, 8e-3), ('int8-weights', 0.34, 0.03), ('int8', 0.34, 0.3)],
)
def test_fewer_bytes(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, share: float, difference: float
) -> None:
    caplog.set_level(logging.INFO)
    from xdet.export.reduction import reduce_model

    images, _ = expand_images([IMAGE] * 8)
    folder = reduce_model(exported, tmp_path / 'reduced', kind, images)
    assert logging.getLogger().level == logging.INFO, 'as it was'
    assert (folder / 'weights.bin').stat().st_size < share * (exported / 'weights.bin').stat().st_size
    assert json.loads((folder / 'model.json').read_text())['reduced'] == kind
    features = [OnnxInferencer(place).set_image(IMAGE).features['mask_features'] for place in (exported, folder)]
    assert np.abs(features[0] - features[1]).max() < difference * np.abs(features[0]).max()
    assert OnnxInferencer(folder)(IMAGE, 'refseg', phrases='a dog')['predictions'][0]['segments']
    with pytest.raises(ValueError, match=f'is {kind} already'):
        reduce_model(folder, tmp_path / 'again', 'fp16')


@pytest.mark.parametrize(
    ('kind', 'count', 'message'),
    [('int4', 8, "kind is 'int4'; accepted are fp16, bf16, int8-weights, int8"), ('int8', 3, '3 images are too few')],
)
def test_what_cannot_be_done(exported: Path, tmp_path: Path, kind: str, count: int, message: str) -> None:
    from xdet.export.reduction import reduce_model

    with pytest.raises(ValueError, match=message):
        reduce_model(exported, tmp_path / 'reduced', kind, expand_images([IMAGE] * count)[0])
    assert not list(tmp_path.iterdir())


def test_calibration_images_that_are_no_numbers(exported: Path, tmp_path: Path) -> None:
    from xdet.export.reduction import reduce_model

    images, _ = expand_images([IMAGE] * 7 + [np.full((40, 40, 3), np.nan)])
    with pytest.raises(ValueError, match='image_7: has type float64; accepted are uint8 or uint16 arrays'):
        reduce_model(exported, tmp_path / 'reduced', 'int8', images)
    assert not list(tmp_path.iterdir())
