"""Which masks a click, a box or a rough mask means, and how clicks correct them: functions of tensors.

Places are columns and rows on the grid of ``mask_features``, where a cell is as long as 1 and the first begins at 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import postprocess
from ..postprocess.resize import query_chunks
from ..similarity import cosine_logits

STRIDE = 4
"""Length of a cell in pixels of the network input."""


def to_cells(pixels: Tensor, seen: Sequence[int], size: Sequence[int]) -> Tensor:
    """Places of pixels ``[n, 2]`` (column, row) of an original image: float ``[n, 2]``, of their centres.

    Args:
        pixels (Tensor): Of the original image.
        seen (Sequence[int]): Height and width of the un-padded network input.
        size (Sequence[int]): Of the original image.
    """
    scale = pixels.new_tensor([seen[1] / size[1], seen[0] / size[0]], dtype=torch.float32)
    return (pixels + 0.5) * scale / STRIDE


def values_at(maps: Tensor, places: Tensor) -> Tensor:
    """Values ``[q, n]`` of maps ``[q, h, w]`` at places ``[n, 2]``, between the centres of cells bilinearly."""
    grid = 2 * places / places.new_tensor([maps.shape[-1], maps.shape[-2]]) - 1
    return F.grid_sample(maps[None], grid[None, None].to(maps), padding_mode='border', align_corners=False)[0, :, 0]


def values_near(maps: Tensor, places: Tensor, positive: Tensor, reach: int = 1) -> Tensor:
    """As :func:`values_at`, but the value within some cells around that is best for a click.

    Args:
        maps (Tensor): ``[q, h, w]`` logits.
        places (Tensor): ``[n, 2]``.
        positive (Tensor): Bool ``[n]``; where False, the smallest value is the best.
        reach (int): Cells on every side.
    """
    if not len(places):
        return maps.new_zeros((len(maps), 0))
    size = 2 * reach + 1
    high, low = (sign * F.max_pool2d(sign * maps[None], size, 1, reach)[0] for sign in (1, -1))
    return torch.where(positive, values_at(high, places), values_at(low, places))


def mask_quality(logits: Tensor) -> Tensor:
    """Logarithm ``[q]`` of the mean probability inside of masks ``[q, h, w]``; small where one is empty."""
    return postprocess.mask_scores(logits, logits > 0).clamp(min=1e-4).log()


def objectness(class_embed: Tensor, background: Tensor, logit_scale: Tensor) -> Tensor:
    """Logarithm ``[q]`` of the probability that queries show an object, those of the image being the measure.

    Args:
        class_embed (Tensor): ``[q, C]``.
        background (Tensor): ``[C]`` of unit length, the embedding that stands for no object.
        logit_scale (Tensor): Logarithm of the factor between cosines and logits.
    """
    logits = cosine_logits(class_embed, background[None], logit_scale)[:, 0]
    return F.logsigmoid(logits.mean() - logits)


def point_fit(values: Tensor, positive: Tensor) -> Tensor:
    """Logarithm ``[q, n]`` of the probability that masks are right at points.

    Args:
        values (Tensor): ``[q, n]`` logits.
        positive (Tensor): Bool ``[n]``.
    """
    return F.logsigmoid(torch.where(positive, values, -values))


def box_fit(masks: Tensor, region: Tensor) -> Tensor:
    """How well masks fill a box: logarithm ``[q]`` of the IoU of boxes times the share of the mask that is inside.

    Args:
        masks (Tensor): Bool ``[q, h, w]``.
        region (Tensor): Bool ``[h, w]``, the box.
    """
    from torchvision.ops import box_iou  # a second and a half, which most who import xdet.apis do not need

    overlap = box_iou(postprocess.mask_boxes(masks), postprocess.mask_boxes(region[None]))[:, 0]
    inside = (masks & region).flatten(1).sum(1) / masks.flatten(1).sum(1).clamp(min=1)
    return (overlap * inside).clamp(min=1e-4).log()


def rough_fit(masks: Tensor, region: Tensor) -> Tensor:
    """How well masks fit a rough one: logarithm ``[q]`` of its share that they cover times the root of the IoU.

    A scribble is covered by whatever contains it, and the smallest such mask has the largest IoU; a rough mask is told
    by its IoU.

    Args:
        masks (Tensor): Bool ``[q, h, w]``.
        region (Tensor): Bool ``[h, w]``, not empty.
    """
    common, area = (masks & region).flatten(1).sum(1), masks.flatten(1).sum(1)
    iou = common / (area + region.sum() - common)
    return (common / region.sum() * iou.sqrt()).clamp(min=1e-4).log()


def region_cells(region: Tensor, seen: Sequence[int], shape: Sequence[int]) -> Tensor:
    """The cells that have a pixel of a region: bool ``[h, w]``.

    Args:
        region (Tensor): Bool ``[H, W]`` in the size of the original image.
        seen (Sequence[int]): Height and width of the un-padded network input.
        shape (Sequence[int]): Height h and width w of the grid.
    """
    pixels = region.nonzero().flip(1)
    columns, rows = to_cells(pixels, seen, region.shape).long().unbind(1)
    cells = torch.zeros(*shape, dtype=torch.bool, device=region.device)
    cells[rows, columns] = True
    return cells


def distinct(masks: Tensor, order: Sequence[int], most: int, overlap: float = 0.8) -> list[int]:
    """The first masks of an order of which none has a larger IoU with one before it.

    Args:
        masks (Tensor): Bool ``[q, h, w]``.
        order (Sequence[int]): Rows of them.
        most (int): How many to take.
        overlap (float): Largest IoU.
    """
    flat = masks.flatten(1)
    chosen: list[int] = []
    for row in order:
        own, others = flat[row], flat[chosen]
        common = (others & own).sum(1)
        if (common <= overlap * (others | own).sum(1)).all():
            chosen.append(row)
        if len(chosen) == most:
            break
    return chosen


def names_of(masks: Tensor, class_embed: Tensor, chosen: Tensor) -> Tensor:
    """What stands for objects as the embedding of a name would: unit vectors ``[n, C]``.

    The mean of the queries that have about the same mask (IoU from 0.5), see :func:`like_a_name`.

    Args:
        masks (Tensor): Bool ``[q, h, w]`` of the queries.
        class_embed (Tensor): ``[q, C]`` of the queries.
        chosen (Tensor): int64 ``[n]``: the queries of the objects.
    """
    flat = masks.flatten(1).float()
    common, area = flat[chosen] @ flat.T, flat.sum(1)
    iou = common / (area[chosen, None] + area - common).clamp(min=1)
    weights = torch.where(iou >= 0.5, iou, torch.zeros_like(iou))
    weights[torch.arange(len(chosen)), chosen] = 1  # also where its mask is empty
    unit = F.normalize(class_embed, dim=-1)
    return like_a_name(weights @ unit, unit)


def like_a_name(embeddings: Tensor, everything: Tensor, turn: float = 0.57) -> Tensor:
    """Embeddings of regions, turned so that they can be compared with others as the embedding of a name can.

    Any two of them are more alike than one and a name, because of what all of an image have in common. That direction
    is taken out, and comes back with a weight of its own, which is negative and the same for all: it decides nothing
    between regions, but sets them apart from what shows no object, which has most of it.

    Args:
        embeddings (Tensor): ``[n, C]``.
        everything (Tensor): ``[m, C]``, all embeddings of their image, of unit length.
        turn (float): The weight.

    Returns:
        Tensor: ``[n, C]`` of unit length.
    """
    common = F.normalize(everything.mean(0), dim=0)
    own = embeddings - (embeddings @ common)[:, None] * common
    return F.normalize(F.normalize(own, dim=-1) - turn * common, dim=-1)


def corrected(
    logits: Tensor,
    pixels: Tensor,
    positive: Tensor,
    mask_features: Tensor,
    seen: Sequence[int],
    margin: float = 2.0,
    reach: float = 0.2,
    softness: float = 0.3,
) -> Tensor:
    """Masks that are right at every click: changes around clicks that they contradict, where pixels look alike.

    What is added is a sum of bumps, one around each click, as high as needed for the logit there to be ``margin`` on
    the right side; where it was already, it stays what it was. A bump falls with the distance from its click and with
    the difference of the mask features. It is as wide as the click is far from the edge of the mask: a click next to
    the edge moves the edge and no more, one far from it may add a part that is missing.

    Args:
        logits (Tensor): ``[n, H, W]`` in the size of the original image.
        pixels (Tensor): int64 ``[p, 2]`` clicks, column and row; no pixel twice.
        positive (Tensor): Bool ``[p]``.
        mask_features (Tensor): ``[C, h, w]``.
        seen (Sequence[int]): Height and width of the un-padded network input.
        margin (float): Least logit of a click on the object; of others it is the largest, negative.
        reach (float): Largest standard deviation of a bump, as a share of the longer side of the image.
        softness (float): Difference of features (one minus the cosine) at which a bump falls to 1/e.
    """
    size = (logits.shape[-2], logits.shape[-1])
    columns, rows = pixels.unbind(1)
    sign = torch.where(positive, 1.0, -1.0).to(logits)
    values = logits[:, rows, columns]
    missing = (margin - sign * values).clamp(min=0) * sign
    if not len(pixels) or not missing.any():
        return logits
    features = F.normalize(mask_features.float(), dim=0)
    looks = F.normalize(values_at(features, to_cells(pixels, seen, size)), dim=0).T
    widths = to_edge(logits > 0, pixels).clamp(max=reach * max(size))
    across, down = (torch.arange(length, device=logits.device) for length in (size[1], size[0]))

    def bumps(part: slice) -> Iterator[Tensor]:
        """Of every mask, ``[p, H, W]``."""
        alike = postprocess.mask_logits(looks[part], features, (seen[0], seen[1]), size).clamp(max=1)
        dx, dy = across - columns[part, None], down - rows[part, None]
        far = (dx.square()[:, None] + dy.square()[:, :, None]) / 2
        for width in widths:
            yield torch.exp((alike - 1) / softness - far / width[part, None, None].square())

    parts = list(query_chunks(len(pixels), size))
    at_clicks = [torch.stack([bump[:, rows, columns] for bump in bumps(part)]) for part in parts]
    # The heights solve a linear system; those of clicks next to each other stay finite by the last summand.
    system = torch.cat(at_clicks, dim=1).mT.double()  # [mask, click, bump]
    system = system + 1e-6 * torch.eye(len(pixels), dtype=torch.float64, device=logits.device)
    heights = torch.linalg.lstsq(system, missing[..., None].double()).solution[..., 0].to(logits)  # [mask, bump]
    result = logits.clone()
    for part in parts:
        for mask, bump in enumerate(bumps(part)):
            result[mask] += torch.einsum('p,phw->hw', heights[mask, part], bump)
    # Rounding, and clicks so close that no smooth sum tells them apart.
    now = result[:, rows, columns]
    result[:, rows, columns] = torch.where(sign * now > 0, now, sign * margin)
    return result


def to_edge(masks: Tensor, pixels: Tensor) -> Tensor:
    """How far pixels are from the edges of masks: ``[n, p]``, to the nearest pixel of the other side.

    Args:
        masks (Tensor): Bool ``[n, H, W]``.
        pixels (Tensor): int64 ``[p, 2]``, column and row.

    Returns:
        Tensor: float, in pixels; infinite where a mask has one side only.
    """
    across, down = (torch.arange(length, device=masks.device) for length in (masks.shape[-1], masks.shape[-2]))
    found = []
    for column, row in pixels.tolist():
        far = ((across - column).square() + (down - row).square()[:, None]).float()
        other = masks != masks[:, row, column, None, None]
        found.append(torch.where(other, far, torch.inf).flatten(1).amin(1).sqrt())
    return torch.stack(found, dim=1)
