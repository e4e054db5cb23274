"""Normalisation and padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from xdet.io.schema import checked, shown
from xdet.registry import MODELS
from xdet.structures import expand_masks


@MODELS.register_module()
class XDecoderDataPreprocessor(BaseDataPreprocessor):
    """Moves a batch to the device, normalises it and pads it with zeros, bottom and right (docs/model.md, 1).

    Masks that came as parts of a map are expanded there.

    X-Decoder has no padding mask: padding changes results. Therefore at inference every image is padded on its own,
    and the model groups images of equal size; in training the batch is padded to its largest image.

    Args:
        mean (Sequence[float]): Channel means in RGB order, in 0..255.
        std (Sequence[float]): Channel standard deviations.
        pad_size_divisor (int): Padded sides are multiples of this.
        bgr_to_rgb (bool): Inputs are BGR, as loaded by mmcv.
        batch_padding (str): At inference, ``'individual'`` or ``'joint'``; the latter pads to the largest image of the
            batch as the official code does, so that results depend on an image's neighbours.
        non_blocking (bool): Copy to the device asynchronously.

    Raises:
        ValueError: A setting that cannot be meant.
    """

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        pad_size_divisor: int = 32,
        bgr_to_rgb: bool = True,
        batch_padding: str = 'individual',
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        if batch_padding not in ('individual', 'joint'):
            raise ValueError(f"batch_padding is {batch_padding!r}; accepted are 'individual' and 'joint'")
        if isinstance(pad_size_divisor, bool) or not isinstance(pad_size_divisor, int) or pad_size_divisor < 1:
            raise ValueError(f'pad_size_divisor is {shown(pad_size_divisor)}; it must be a whole number from 1')
        if min(_three_numbers('std', std)) <= 0:
            raise ValueError(f'std is {shown(std)}; it must be three numbers above 0')
        _three_numbers('mean', mean)
        self.pad_size_divisor = pad_size_divisor
        self.bgr_to_rgb = bgr_to_rgb
        self.batch_padding = batch_padding
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare what the data loader collated.

        Args:
            data (dict): ``inputs``: list of uint8 or float ``[3, H, W]``; ``data_samples``: list of samples.
            training (bool): Whether the batch is for training.

        Returns:
            dict: ``inputs``: one tensor ``[B, 3, H, W]`` when padded jointly, else a list of ``[3, H, W]``;
            ``data_samples`` with ``batch_input_shape`` set to each image's padded size.

        Raises:
            ValueError: There are no inputs.
        """
        if 'inputs' not in data:
            raise ValueError('the data pipeline gives no inputs; its last transform must be PackXDetInputs')
        data = self.cast_data(data)
        samples = data.get('data_samples')
        images = [self._normalize(image) for image in data['inputs']]
        joint = training or self.batch_padding == 'joint'
        sizes = [self._padded_size(image) for image in images]
        if joint:
            largest = (max(height for height, _ in sizes), max(width for _, width in sizes))
            sizes = [largest] * len(images)
        padded = [
            F.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]))
            for image, (height, width) in zip(images, sizes, strict=True)
        ]
        for sample, image, size in zip(samples, images, sizes, strict=True) if samples is not None else ():
            sample.set_metainfo(dict(img_shape=tuple(image.shape[-2:]), batch_input_shape=size))
            expand_masks(sample)
        return dict(inputs=torch.stack(padded) if joint else padded, data_samples=samples)

    def colours(self, images: Tensor) -> Tensor:
        """RGB in [0, 1] of normalised images ``[..., 3, H, W]``; padding is the mean colour."""
        return (images * self.std + self.mean) / 255

    def normalised(self, colours: Tensor) -> Tensor:
        """What the network sees of RGB in [0, 1] ``[..., 3, H, W]``: the inverse of :meth:`colours`."""
        return (colours * 255 - self.mean) / self.std

    def _normalize(self, image: Tensor) -> Tensor:
        if self.bgr_to_rgb:
            image = image.flip(0)
        return (image.to(self.mean.dtype) - self.mean) / self.std

    def _padded_size(self, image: Tensor) -> tuple[int, int]:
        divisor = self.pad_size_divisor
        height, width = (max(1, -(-length // divisor)) * divisor for length in image.shape[-2:])
        return height, width


def _three_numbers(name: str, values: Sequence[float]) -> Sequence[float]:
    if not isinstance(values, Sequence) or len(values) != 3 or isinstance(values, str):
        raise ValueError(f'{name} is {shown(values)}; it must be three numbers, of red, green and blue')
    return [checked(value, float, f'{name} has a value that') for value in values]
