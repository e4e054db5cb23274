"""Errors of depth maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from numpy.typing import NDArray

from xdet.registry import METRICS

from .fields import field, name_of, require_results


@METRICS.register_module()
class DepthError(BaseMetric):
    """Common errors of ``pred_depth``, each the mean over images of what :func:`depth_errors` gives for one.

    Only pixels whose depth is known and within the range are looked at; predictions are clipped to the range. Images
    without such a pixel are not counted, and how many there are is logged.

    Args:
        min_depth (float): Least true depth, in metres.
        max_depth (float): Greatest true depth, such as 10 for NYUv2 and 80 for KITTI.
        median_scaling (bool): Multiply a prediction by the ratio of the medians first, for models that know no scale.
        constant (float, optional): Also report what this depth at every pixel would get, as ``constant_AbsRel`` and so
            on: what a model has to be better than.
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ValueError: The range is empty or not positive, or the constant not in it.
    """

    default_prefix = 'depth'

    def __init__(
        self,
        min_depth: float = 0.001,
        max_depth: float = float('inf'),
        median_scaling: bool = False,
        constant: float | None = None,
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix=prefix, **kwargs)
        if not 0 < min_depth < max_depth:
            raise ValueError(f'DepthError: min_depth is {min_depth} and max_depth {max_depth}; needed is 0 < min < max')
        if constant is not None and not min_depth <= constant <= max_depth:
            raise ValueError(f'DepthError: constant is {constant}; accepted are {min_depth} to {max_depth}')
        self.min_depth, self.max_depth = min_depth, max_depth
        self.median_scaling = median_scaling
        self.constant = constant

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Errors of a batch of images.

        Raises:
            ValueError: A map is missing, of another size than the true one, or not of positive numbers.
        """
        for sample in data_samples:
            found, true = (
                np.asarray(field(sample, name)['depth'].cpu(), dtype=np.float64)[0]
                for name in ('pred_depth', 'gt_depth')
            )
            if found.shape != true.shape:
                raise ValueError(
                    f'{name_of(sample)}: predicted depth is {found.shape} but the true one {true.shape} (height, '
                    'width); both must be in the original resolution'
                )
            if not (np.isfinite(found).all() and (found > 0).all()):
                raise ValueError(f'{name_of(sample)}: predicted depth has values that are not positive numbers')
            known = np.isfinite(true) & (true >= self.min_depth) & (true <= self.max_depth)
            if not known.any():
                self.results.append(None)
                continue
            found, true = found[known], true[known]
            if self.median_scaling:
                found = found * np.median(true) / np.median(found)
            errors = depth_errors(np.clip(found, self.min_depth, self.max_depth), true)
            if self.constant is not None:
                own = depth_errors(np.full_like(true, self.constant), true)
                errors |= {f'constant_{name}': value for name, value in own.items()}
            self.results.append(errors)

    def compute_metrics(self, results: Sequence[dict[str, float] | None]) -> dict[str, float]:
        """Means over the images.

        Raises:
            ValueError: The depth of not a single pixel is known.
        """
        require_results(self, results)
        counted = [errors for errors in results if errors is not None]
        if not counted:
            raise ValueError(
                f'DepthError: none of the {len(results)} depth maps has a pixel from {self.min_depth} to '
                f'{self.max_depth} m; is depth_scale right?'
            )
        if len(counted) < len(results):
            print_log(f'DepthError: {len(results) - len(counted)} images have no known depth', logger='current')
        return {name: float(np.mean([errors[name] for errors in counted])) for name in counted[0]}


def depth_errors(found: NDArray[np.float64], true: NDArray[np.float64]) -> dict[str, float]:
    """Errors of n depths in metres, all positive.

    Returns:
        dict[str, float]: ``AbsRel``, mean of |found - true| / true; ``RMSE`` in metres; ``log10``, mean of the
        difference of decadic logarithms; ``SILog``, 100 times the standard deviation of the difference of natural
        logarithms, which a common factor does not change; ``delta1`` to ``delta3``, the share in percent of depths that
        are less than 1.25, 1.25^2 and 1.25^3 times too large or too small.
    """
    difference = np.log(found) - np.log(true)
    ratio = np.maximum(found / true, true / found)
    return dict(
        AbsRel=float(np.mean(np.abs(found - true) / true)),
        RMSE=float(np.sqrt(np.mean((found - true) ** 2))),
        log10=float(np.mean(np.abs(difference)) / np.log(10)),
        SILog=float(100 * np.std(difference)),
        **{f'delta{power}': float(100 * np.mean(ratio < 1.25**power)) for power in (1, 2, 3)},
    )
