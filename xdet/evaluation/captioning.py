"""Captions against references: exact agreement, and CIDEr-D (Vedantam et al., arXiv 1411.5726)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from xdet.registry import METRICS

from .fields import field

_MAX_N = 4
_SIGMA = 6.0

NGram = tuple[str, ...]


def words(text: str) -> list[str]:
    """Lower-case words of a text, without punctuation."""
    return re.findall(r"[\w']+", text.lower())


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of every image: tf-idf weighted agreement of n-grams (n = 1..4) with the references, 10 at best.

    The formula is that of the COCO caption evaluation, document frequencies being counted in ``references``. The words
    are split by :func:`words` and not by the Penn Treebank tokenizer (which needs Java), so punctuation inside words
    may make small differences to published numbers.

    Args:
        candidates (Sequence[str]): One caption per image.
        references (Sequence[Sequence[str]]): True captions of every image, at least one.
    """
    truths = [[_ngrams(text) for text in texts] for texts in references]
    seen = Counter(gram for texts in truths for gram in set().union(*texts))
    images = math.log(len(truths)) if truths else 0.0
    weights = {gram: images - math.log(count) for gram, count in seen.items()}
    scores = []
    for candidate, texts in zip(candidates, truths, strict=True):
        vector = _Vector(_ngrams(candidate), weights, images)
        similarities = [vector.similarity(_Vector(text, weights, images)) for text in texts]
        scores.append(10 * math.fsum(similarities) / len(similarities))
    return scores


def _ngrams(text: str) -> Counter[NGram]:
    tokens = words(text)
    return Counter(
        tuple(tokens[start : start + n]) for n in range(1, _MAX_N + 1) for start in range(len(tokens) - n + 1)
    )


class _Vector:
    """The tf-idf vectors of a text, one for every n.

    Args:
        counts (Counter): How often each n-gram occurs.
        weights (dict): Inverse document frequency of n-grams.
        unseen (float): That of n-grams that no reference has.
    """

    def __init__(self, counts: Counter[NGram], weights: dict[NGram, float], unseen: float) -> None:
        self.length = sum(count for gram, count in counts.items() if len(gram) == 1)
        self.values: list[dict[NGram, float]] = [{} for _ in range(_MAX_N)]
        for gram, count in counts.items():
            self.values[len(gram) - 1][gram] = count * weights.get(gram, unseen)
        self.norms = [math.sqrt(math.fsum(value * value for value in row.values())) for row in self.values]

    def similarity(self, truth: _Vector) -> float:
        """Clipped cosine with a reference, averaged over n, times a penalty for another length."""
        total = 0.0
        for row, other, norm, other_norm in zip(self.values, truth.values, self.norms, truth.norms, strict=True):
            if norm and other_norm:
                shared = (min(value, other[gram]) * other[gram] for gram, value in row.items() if gram in other)
                total += math.fsum(shared) / (norm * other_norm)
        return total / _MAX_N * math.exp(-((self.length - truth.length) ** 2) / (2 * _SIGMA**2))


@METRICS.register_module()
class CaptionMatch(BaseMetric):
    """The best of ``pred_captions`` against the sample's ``captions``, in percent.

    ``exact`` is the share of images whose caption equals the first reference, word for word; ``exact_any`` any
    reference; ``CIDEr-D`` is :func:`cider_d` times 100, as papers print it: 1000 at best.

    Args:
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.
    """

    default_prefix = 'caption'

    def __init__(self, prefix: str | None = None, **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the texts of a batch of images."""
        for sample in data_samples:
            captions = field(sample, 'pred_captions')
            self.results.append((captions[0]['text'] if captions else '', list(field(sample, 'captions'))))

    def compute_metrics(self, results: list[tuple[str, list[str]]]) -> dict[str, float]:
        """Compare the captions of all images."""
        candidates, references = zip(*results, strict=True)
        first = sum(words(text) == words(truths[0]) for text, truths in results)
        anyone = sum(words(text) in [words(truth) for truth in truths] for text, truths in results)
        return {
            'exact': 100 * first / len(results),
            'exact_any': 100 * anyone / len(results),
            'CIDEr-D': 100 * math.fsum(cider_d(candidates, references)) / len(results),
        }
