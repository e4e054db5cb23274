"""Distillation of sentence embeddings: a small text tower learns which texts a teacher finds alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xdet.models.similarity import cosines
from xdet.registry import MODELS


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
