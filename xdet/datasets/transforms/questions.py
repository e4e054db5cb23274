"""Transforms of questions."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from xdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ChooseQuestions(BaseTransform):
    """Some of the questions of a sample, other ones every time, so that the size of training steps is bounded.

    Draws from NumPy's global generator, which ``SeededDataset`` seeds for every sample.

    Required keys: ``questions``. Modified keys: it, and of ``answers``, ``question_ids``, ``question_kinds`` and
    ``question_types`` those that there are.

    Args:
        max_questions (int): Most questions per sample.

    Raises:
        ValueError: ``max_questions`` is less than 1.
    """

    def __init__(self, max_questions: int) -> None:
        if isinstance(max_questions, bool) or not isinstance(max_questions, int) or max_questions < 1:
            raise ValueError(f'max_questions is {max_questions!r}; accepted are whole numbers from 1')
        self.max_questions = max_questions

    def transform(self, results: dict) -> dict:
        """Choose; see the class documentation."""
        chosen = np.random.permutation(len(results['questions']))[: self.max_questions].tolist()
        for key in ('questions', 'answers', 'question_ids', 'question_kinds', 'question_types'):
            if key in results:
                results[key] = tuple(results[key][index] for index in chosen)
        return results
