"""Normalisation and padding."""

import pytest
import torch
from parity.model import sample_of

from xdet.models.data_preprocessor import XDecoderDataPreprocessor


def test_individual_padding_and_channel_order():
    preprocessor = XDecoderDataPreprocessor()
    blue = torch.zeros(3, 33, 20, dtype=torch.uint8)
    blue[0] = 255  # BGR
    samples = [sample_of(blue, None), sample_of(blue[:, :5], None)]
    data = preprocessor(dict(inputs=[blue, blue[:, :5]], data_samples=samples))
    first, second = data['inputs']
    sample = data['data_samples'][0]
    assert first.shape == (3, 64, 32) and second.shape == (3, 32, 32)
    expected = (torch.tensor([0.0, 0.0, 255.0]) - preprocessor.mean[:, 0, 0]) / preprocessor.std[:, 0, 0]
    torch.testing.assert_close(first[:, 0, 0], expected)
    assert first[:, 33:].abs().sum() == 0 and first[:, :, 20:].abs().sum() == 0
    assert sample.img_shape == (33, 20) and sample.batch_input_shape == (64, 32)


@pytest.mark.parametrize('kwargs', [dict(training=True), dict(training=False)])
def test_joint_padding(kwargs):
    preprocessor = XDecoderDataPreprocessor(batch_padding='individual' if kwargs['training'] else 'joint')
    images = [torch.zeros(3, 33, 20), torch.zeros(3, 5, 70)]
    data = preprocessor(dict(inputs=images), **kwargs)
    assert data['inputs'].shape == (2, 3, 64, 96)


def test_unknown_padding():
    with pytest.raises(ValueError, match="'individual' and 'joint'"):
        XDecoderDataPreprocessor(batch_padding='none')


def test_data_of_another_pipeline():
    with pytest.raises(
        ValueError, match='the data pipeline gives no inputs; its last transform must be PackXDetInputs'
    ):
        XDecoderDataPreprocessor()(dict(img_path=['a.png']))


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        (dict(mean=[1]), r'mean is \[1\]; it must be three numbers'),
        (dict(mean='123'), "mean is '123'; it must be three numbers"),
        (dict(mean=[1, 2, 'x']), "mean has a value that is 'x'; it must be a number"),
        (dict(std=[1, 0, 1]), r'std is \[1, 0, 1\]; it must be three numbers above 0'),
        (dict(std=[1, float('nan'), 1]), 'std has a value that is nan; it must be a number'),
        (dict(pad_size_divisor=0), 'pad_size_divisor is 0; it must be a whole number from 1'),
    ],
)
def test_numbers_that_cannot_be_meant(setting, message):
    with pytest.raises(ValueError, match=message):
        XDecoderDataPreprocessor(**setting)
