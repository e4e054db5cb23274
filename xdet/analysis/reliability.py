"""Whether a model is as often right as it says: reliability of the names of pixels, and a temperature that mends it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar
from torch import Tensor

from xdet.inference.names.calibration import TEMPERATURES
from xdet.io.writing import replacing
from xdet.models import postprocess
from xdet.models.decoder import IMAGE, OBJECT
from xdet.structures import XDetDataSample
from xdet.tasks.segmentation import SegmentationTask

from .subject import Subject
from .tables import Cell

BINS = 15


@dataclass(frozen=True)
class Evidence:
    """What a model says about some labelled pixels of an image.

    Attributes:
        class_logits (Tensor): ``[n, K + 1]`` of its queries.
        masks (Tensor): Mask logits ``[n, p]`` of the pixels.
        labels (Tensor): int64 ``[p]``; K where there is none of the names.
    """

    class_logits: Tensor
    masks: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Reliability:
    """How sure and how right the most probable names of pixels are.

    Attributes:
        count (Tensor): ``[bins]`` share of the pixels by confidence.
        confidence (Tensor): ``[bins]`` mean confidence.
        accuracy (Tensor): ``[bins]`` share of the pixels that are right.
        loss (float): Mean negative logarithm of the probability of the true name.
    """

    count: Tensor
    confidence: Tensor
    accuracy: Tensor
    loss: float

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of confidence and accuracy."""
        return float((self.count * (self.confidence - self.accuracy).abs()).sum())

    def row(self, name: str, temperature: float) -> list[Cell]:
        """A row of a table."""
        right, sure = (float((self.count * of).sum()) for of in (self.accuracy, self.confidence))
        percent = [f'{100 * value:.2f}' for value in (self.error, sure, right)]
        return [name, f'{temperature:.2f}', *percent, f'{self.loss:.4f}']


HEADER = ['images', 'temperature', 'ECE (%)', 'confidence (%)', 'accuracy (%)', 'NLL']


@torch.no_grad()
def collect(subject: Subject, pixels: int = 2000, seed: int = 0) -> list[Evidence]:
    """Evidence of every chosen image that has labelled pixels.

    Args:
        subject (Subject): Model and images, which must have ``gt_sem_seg``.
        pixels (int): Most pixels of an image, chosen at random.
        seed (int): Of that.

    Raises:
        ValueError: The model does not segment, or an image has no labels.
    """
    model = subject.model
    task = next((task for task in model.tasks.values() if isinstance(task, SegmentationTask)), None)
    if task is None:
        raise ValueError('this model has no segmentation task')
    generator = torch.Generator().manual_seed(seed)
    found = []
    for batch in subject.batches():
        batch = model.data_preprocessor(batch, False)
        for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
            if 'gt_sem_seg' not in sample:
                name = sample.metainfo.get('img_path', sample.metainfo.get('img_id'))
                raise ValueError(f'{name}: has no gt_sem_seg; the test pipeline must load and pack segments')
            features = model.encode(image[None])
            context = model.context(model.latent_pass(features), [sample])
            (logits,) = task.class_logits(context)
            layer = context.outputs.last
            grid = postprocess.grid_of(sample.img_shape[:2])
            embeds = layer.rows(layer.mask_embed, OBJECT, IMAGE)[0]
            masks = postprocess.mask_logits(embeds, features.mask_features[0], sample.img_shape[:2], grid).flatten(1)
            truth = sample.gt_sem_seg.sem_seg.float()[None]
            labels = F.interpolate(truth, grid, mode='nearest-exact').flatten().long()
            labels = torch.where(labels == XDetDataSample.BACKGROUND, logits.shape[1] - 1, labels)
            known = (labels != XDetDataSample.IGNORE).nonzero()[:, 0]
            chosen = known[torch.randperm(len(known), generator=generator)[:pixels].to(known.device)]
            if len(chosen):
                found.append(Evidence(logits.float().cpu(), masks[:, chosen].cpu(), labels[chosen].cpu()))
    return found


def _shares(evidence: Sequence[Evidence], temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Confidence, whether it is right, and the logarithm of the probability of the truth, of all pixels."""
    rows = []
    for one in evidence:
        shares = postprocess.name_shares(one.class_logits, one.masks, temperature)
        confidence, named = shares.max(0)
        true = shares.gather(0, one.labels[None])[0].clamp(min=1e-12).log()
        rows.append(torch.stack([confidence, (named == one.labels).float(), true]).double())
    confidence, right, true = torch.cat(rows, 1)
    return confidence, right, true


def reliability(evidence: Sequence[Evidence], temperature: float = 1.0, bins: int = BINS) -> Reliability:
    """Of all pixels together, in ``bins`` of equal width.

    Raises:
        ValueError: There is no evidence.
    """
    if not evidence:
        raise ValueError('no image has labelled pixels')
    confidence, right, true = _shares(evidence, temperature)
    places = (confidence * bins).long().clamp(0, bins - 1)
    count = torch.zeros(bins, dtype=torch.float64).index_add_(0, places, torch.ones_like(confidence))
    sums = [torch.zeros_like(count).index_add_(0, places, values) for values in (confidence, right)]
    means = [total / count.clamp(min=1) for total in sums]
    return Reliability(count / len(confidence), means[0], means[1], -float(true.mean()))


def fit_temperature(evidence: Sequence[Evidence]) -> float:
    """The temperature (:func:`xdet.models.postprocess.name_shares`) that makes the true names most probable.

    Raises:
        ValueError: There is no evidence.
    """
    if not evidence:
        raise ValueError('no image has labelled pixels')

    def loss(logarithm: float) -> float:
        return -float(_shares(evidence, math.exp(logarithm))[2].mean())

    limits = [math.log(value) for value in TEMPERATURES]
    return math.exp(float(minimize_scalar(loss, bounds=limits, method='bounded', options=dict(xatol=0.01)).x))


def draw_reliability(found: dict[str, Reliability], path: Path, title: str) -> None:
    """Reliability diagrams side by side: accuracy over confidence, and below it where the pixels are.

    Args:
        found (dict[str, Reliability]): By what to call each.
        path (Path): File to write.
        title (str): Above all of them.
    """
    figure = Figure(figsize=(1 + 3.6 * len(found), 5), layout='constrained')
    panels = figure.subplots(2, len(found), sharex=True, squeeze=False, height_ratios=(3, 1))
    for (upper, lower), (name, one) in zip(panels.T, found.items(), strict=True):
        bins = len(one.count)
        places = (torch.arange(bins) + 0.5) / bins
        there = one.count > 0
        upper.plot([0, 1], [0, 1], color='grey', linestyle='--', linewidth=1)
        upper.bar(places[there], one.accuracy[there], width=0.9 / bins, color='#3b6fb6', label='accuracy')
        upper.plot(
            one.confidence[there], one.accuracy[there], 'o', color='black', markersize=3, label='mean confidence'
        )
        upper.set(xlim=(0, 1), ylim=(0, 1), title=f'{name}: ECE {100 * one.error:.2f} %', ylabel='accuracy')
        upper.legend(loc='upper left', fontsize=8)
        lower.bar(places, 100 * one.count, width=0.9 / bins, color='#b0b0b0')
        lower.set(xlabel='confidence', ylabel='pixels (%)')
    figure.suptitle(title, fontsize=10)
    with replacing(path) as file:
        figure.savefig(file, dpi=120, format=path.suffix[1:] or 'png')
