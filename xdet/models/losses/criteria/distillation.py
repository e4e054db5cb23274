"""Losses of students: of text towers that learn which texts a teacher finds alike, and of whole models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.models.losses.distributed import mean_over_ranks
from xdet.models.losses.matching import points as point_sampling
from xdet.models.losses.supervision import supervised_layers
from xdet.models.losses.targets import SegmentTargets, TaughtSegments
from xdet.models.numerics.precision import at_least_single
from xdet.models.similarity import cosines
from xdet.registry import MODELS

from .segmentation import SegmentationLoss


@MODELS.register_module()
class RelationalDistillationLoss(nn.Module):
    """Mean squared difference between the cosines of a student and those of a teacher.

    Only relations are compared, so both may be of any width, and the student's space may keep its orientation, which
    what was trained with it relies on. Teacher embeddings should be centred (:func:`centred`): sentence encoders find
    any two names somewhat alike, and a student that copies this has less room to tell them apart.

    Args:
        weight (float): Weight of the loss.
        rank_weight (float): Weight of the divergence between the rows of cosines, seen as distributions: who the
            nearest texts are, which matters more than how far the far ones are. 0 turns it off.
        rank_temperature (float): Temperature of these distributions.
    """

    def __init__(self, weight: float = 1.0, rank_weight: float = 0.0, rank_temperature: float = 0.1) -> None:
        super().__init__()
        self.weight = weight
        self.rank_weight = rank_weight
        self.rank_temperature = rank_temperature

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        other_student: Tensor | None = None,
        other_teacher: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compare all pairs of texts, or every text with every one of other texts.

        Args:
            student (Tensor): ``[n, C]`` of any length.
            teacher (Tensor): ``[n, D]`` of any length, for the same texts.
            other_student (Tensor, optional): ``[m, C]``.
            other_teacher (Tensor, optional): ``[m, D]``.

        Returns:
            dict[str, Tensor]: Weighted ``loss_relation`` and, if it has a weight, ``loss_rank``.

        Raises:
            ValueError: Student and teacher embed different numbers of texts.
        """
        paired = True
        if other_student is None or other_teacher is None:
            other_student, other_teacher, paired = student, teacher, False
        if len(student) != len(teacher) or len(other_student) != len(other_teacher):
            raise ValueError(
                f'distillation: the student embeds {len(student)} and {len(other_student)} texts, the teacher '
                f'{len(teacher)} and {len(other_teacher)}; they must be the same texts'
            )
        found, wanted = cosines(student, other_student), cosines(teacher, other_teacher).to(student.device)
        losses = dict(loss_relation=self.weight * (found - wanted).square().mean())
        if self.rank_weight:
            found, wanted = found / self.rank_temperature, wanted / self.rank_temperature
            if not paired:  # a text is nearest to itself, which nobody needs to learn
                diagonal = torch.eye(len(found), dtype=torch.bool, device=found.device)
                found, wanted = found.masked_fill(diagonal, -1e4), wanted.masked_fill(diagonal, -1e4)
            divergence = nn.functional.kl_div(
                found.log_softmax(1), wanted.log_softmax(1), log_target=True, reduction='batchmean'
            )
            losses['loss_rank'] = self.rank_weight * divergence
        return losses


@MODELS.register_module()
class DistillationLoss(nn.Module):
    """Makes the query of every segment say what the teacher's query of the same segment says: its classes, its mask.

    Both models match their queries with the segments as :class:`SegmentationLoss` does. Compared are the two queries
    of a segment: the divergence of the student's class probabilities from the teacher's, "no object" among them, and of
    its mask from the teacher's, at points where the student is undecided. Both are 0 where the student says the same.
    Unmatched queries learn from the segmentation loss alone.

    Args:
        class_weight (float): Weight of the divergence of classes.
        mask_weight (float): Weight of the divergence of masks.
        temperature (float): What class logits are divided by; higher ones show more of what else the teacher takes into
            consideration. The loss is multiplied by its square, so that gradients keep their size.
        num_layers (int): How many of the student's last predictions learn; the teacher's is always its last one.
        num_points (int): Points per image when matching and per mask in the loss.
        oversample_ratio (float): Candidates per point of importance sampling.
        importance_ratio (float): Share of the points chosen by importance.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        class_weight: float = 0.5,
        mask_weight: float = 5.0,
        temperature: float = 2.0,
        num_layers: int = 3,
        num_points: int = 12544,
        oversample_ratio: float = 3.0,
        importance_ratio: float = 0.75,
    ) -> None:
        super().__init__()
        if class_weight < 0 or mask_weight < 0 or temperature <= 0:
            raise ValueError(
                f'DistillationLoss: class_weight={class_weight}, mask_weight={mask_weight}, temperature={temperature}; '
                'accepted are weights from 0 and temperatures above 0'
            )
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.temperature = temperature
        self.num_layers = num_layers
        # It matches, and checks these arguments.
        self.segmentation = SegmentationLoss(
            num_points=num_points, oversample_ratio=oversample_ratio, importance_ratio=importance_ratio
        )

    def match(
        self,
        mask_embeds: Sequence[Tensor],
        class_logits: Sequence[Sequence[Tensor]],
        mask_features: Tensor,
        targets: SegmentTargets,
    ) -> list[Tensor]:
        """Which query every segment belongs to, of the student or of the teacher; see :meth:`SegmentationLoss.match`.

        Of several prediction layers only those that learn are matched; the result has no others.
        """
        layers = supervised_layers(len(mask_embeds), self.num_layers)
        chosen = [mask_embeds[layer] for layer in layers], [class_logits[layer] for layer in layers]
        return self.segmentation.match(*chosen, mask_features, targets)

    def forward(
        self,
        mask_embeds: Sequence[Tensor],
        class_logits: Sequence[Sequence[Tensor]],
        mask_features: Tensor,
        matches: Sequence[Tensor],
        taught: TaughtSegments,
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            mask_embeds (Sequence[Tensor]): The student's, ``[B, No, C]`` per prediction layer.
            class_logits (Sequence[Sequence[Tensor]]): The student's, ``[No, K_b + 1]`` per layer and image.
            mask_features (Tensor): The student's, ``[B, C, h, w]``.
            matches (Sequence[Tensor]): The student's result of :meth:`match`.
            taught (TaughtSegments): What the teacher says about the same segments.

        Returns:
            dict[str, Tensor]: Weighted ``loss_taught_cls`` and ``loss_taught_mask`` of the final layer, and ``d{k}.*``
            of prediction layer k before it.

        Raises:
            ValueError: The teacher knows other classes than the student.
        """
        layers = supervised_layers(len(mask_embeds), self.num_layers)
        with torch.autocast(mask_features.device.type, enabled=False):
            features = at_least_single(mask_features)
            count = mean_over_ranks(sum(map(len, taught.logits)), features).clamp(min=1)
            losses = {}
            for place, (layer, prefix) in enumerate(layers.items()):
                classes = masks = features.sum() * 0  # in the graph where nothing is matched
                for image, (logits, wanted) in enumerate(zip(taught.logits, taught.masks, strict=True)):
                    match = matches[image][place]
                    known = (match >= 0) & taught.found[image]  # -1: more segments than queries
                    queries = match[known]
                    own = at_least_single(class_logits[layer][image])[queries]
                    if own.shape[1] != logits.shape[1]:
                        raise ValueError(
                            f'distillation: the student tells {own.shape[1] - 1} classes apart and the teacher '
                            f'{logits.shape[1] - 1}; they must be asked for the same'
                        )
                    classes = classes + self._classes(own, at_least_single(logits[known]))
                    embed = at_least_single(mask_embeds[layer][image])[queries]
                    made = (embed @ features[image].flatten(1)).unflatten(-1, features.shape[-2:])
                    masks = masks + self._masks(made, at_least_single(wanted[known]))
                losses[f'{prefix}loss_taught_cls'] = self.class_weight * classes / count
                losses[f'{prefix}loss_taught_mask'] = self.mask_weight * masks / count
        return losses

    def _classes(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Divergence of class probabilities, summed over segments ``[n, K + 1]``."""
        found, wanted = (logits.div(self.temperature).log_softmax(1) for logits in (student, teacher))
        return self.temperature**2 * F.kl_div(found, wanted, log_target=True, reduction='sum')

    def _masks(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Divergence of mask probabilities at points, summed over segments: ``[n, h, w]``, ``[n, h', w']``."""
        if not len(student):
            return student.sum()
        sampling = self.segmentation.mask_loss
        points = point_sampling.uncertain_points(
            student.detach(), sampling.num_points, sampling.oversample_ratio, sampling.importance_ratio
        )
        found, wanted = (point_sampling.sample_points(masks[:, None], points)[:, 0] for masks in (student, teacher))
        target = wanted.sigmoid()
        distance = F.binary_cross_entropy_with_logits(found, target, reduction='none')
        least = F.binary_cross_entropy_with_logits(wanted, target, reduction='none')  # of a student that says the same
        return (distance - least).mean(1).sum()


def centred(embeddings: Tensor, reference: Tensor | None = None) -> Tensor:
    """Embeddings ``[n, D]`` minus the mean of ``reference`` ``[m, D]`` (default: of themselves), of unit length."""
    mean = (embeddings if reference is None else reference).mean(dim=0)
    return nn.functional.normalize(embeddings - mean, dim=1)


def neighbour_agreement(student: Tensor, teacher: Tensor, count: int = 10) -> float:
    """Share of the teacher's ``count`` nearest neighbours of every text that are the student's as well.

    Args:
        student (Tensor): ``[n, C]``.
        teacher (Tensor): ``[n, D]``.
        count (int): Neighbours of every text; all others if there are fewer.
    """
    count = min(count, len(student) - 1)
    nearest = []
    for embeddings in (student, teacher):
        similarity = cosines(embeddings, embeddings).fill_diagonal_(-2.0)
        nearest.append(similarity.topk(count, dim=1).indices)
    shared = (nearest[0][:, :, None] == nearest[1][:, None, :]).any(dim=2)
    return shared.float().mean().item()
