"""BLEU, ROUGE-L and CIDEr-D of captions that are split into words, by the formulas of the COCO caption evaluation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

Tokens = Sequence[str]
NGram = tuple[str, ...]

MAX_N = 4
_SIGMA = 6.0  # of CIDEr-D's penalty for another length
_BETA = 1.2  # weight of recall in ROUGE-L
_TINY, _SMALL = 1e-15, 1e-9  # what COCO's evaluation adds to the counts of BLEU, so that nothing is divided by zero


def ngrams(tokens: Tokens) -> Counter[NGram]:
    """How often each sequence of 1 to 4 words occurs."""
    return Counter(
        tuple(tokens[start : start + n]) for n in range(1, MAX_N + 1) for start in range(len(tokens) - n + 1)
    )


def bleu(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> list[float]:
    """BLEU-1 to BLEU-4 of a whole set (Papineni et al., ACL 2002), in 0..1.

    The length of a candidate is compared with that of the reference closest in length, the shorter of two.

    Args:
        candidates (Sequence[Tokens]): One caption per image.
        references (Sequence[Sequence[Tokens]]): True captions of every image, at least one.
    """
    correct, guessed = [0] * MAX_N, [0] * MAX_N
    length = reference_length = 0
    for candidate, texts in zip(candidates, references, strict=True):
        length += len(candidate)
        reference_length += min((abs(len(text) - len(candidate)), len(text)) for text in texts)[1]
        most: Counter[NGram] = Counter()
        for text in texts:
            most |= ngrams(text)
        for gram, count in ngrams(candidate).items():
            guessed[len(gram) - 1] += count
            correct[len(gram) - 1] += min(count, most[gram])
    ratio = (length + _TINY) / (reference_length + _SMALL)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    scores, product = [], 1.0
    for n in range(MAX_N):
        product *= (correct[n] + _TINY) / (guessed[n] + _SMALL)
        scores.append(brevity * product ** (1 / (n + 1)))
    return scores


def rouge_l(candidate: Tokens, texts: Sequence[Tokens]) -> float:
    """ROUGE-L of one image: F measure of the longest common subsequence, best precision and best recall, in 0..1."""
    common = [_common(candidate, text) for text in texts]
    precision = max(common) / max(1, len(candidate))
    recall = max(length / max(1, len(text)) for length, text in zip(common, texts, strict=True))
    if precision == 0 or recall == 0:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _common(one: Tokens, other: Tokens) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = row[:]
        for index, match in enumerate(other, 1):
            row[index] = before[index - 1] + 1 if word == match else max(before[index], row[index - 1])
    return row[-1]


class DocumentFrequencies:
    """In how many images n-grams occur, by which CIDEr-D weights them."""

    def __init__(self) -> None:
        self.images = 0
        self._seen: Counter[NGram] = Counter()

    def add(self, references: Sequence[Sequence[Tokens]]) -> None:
        """Count the true captions of more images."""
        self.images += len(references)
        self._seen.update(gram for texts in references for gram in set().union(*map(ngrams, texts)))

    @property
    def unseen(self) -> float:
        """Weight of n-grams that no image has."""
        return math.log(self.images) if self.images else 0.0

    def weights(self, counts: Counter[NGram]) -> dict[NGram, float]:
        """Inverse document frequencies of the n-grams of a text."""
        return {gram: self.unseen - math.log(self._seen[gram] or 1) for gram in counts}


def cider_d_scores(
    candidates: Sequence[Tokens],
    references: Sequence[Sequence[Tokens]],
    frequencies: DocumentFrequencies | None = None,
) -> list[float]:
    """CIDEr-D of every image (Vedantam et al., arXiv 1411.5726): tf-idf weighted agreement of n-grams, 10 at best.

    Args:
        candidates (Sequence[Tokens]): One caption per image.
        references (Sequence[Sequence[Tokens]]): True captions of every image, at least one.
        frequencies (DocumentFrequencies, optional): What n-grams are weighted by. None: they are counted in
            ``references``, so the score of an image depends on the other images, and a single image has 0.
    """
    if frequencies is None:
        frequencies = DocumentFrequencies()
        frequencies.add(references)
    scores = []
    for candidate, texts in zip(candidates, references, strict=True):
        vector = _Vector(ngrams(candidate), frequencies)
        similarities = [vector.similarity(_Vector(ngrams(text), frequencies)) for text in texts]
        scores.append(10 * math.fsum(similarities) / len(similarities))
    return scores


class _Vector:
    """The tf-idf vectors of a text, one for every n.

    Args:
        counts (Counter): How often each n-gram occurs.
        frequencies (DocumentFrequencies): What they are weighted by.
    """

    def __init__(self, counts: Counter[NGram], frequencies: DocumentFrequencies) -> None:
        weights = frequencies.weights(counts)
        self.length = sum(count for gram, count in counts.items() if len(gram) == 1)
        self.values: list[dict[NGram, float]] = [{} for _ in range(MAX_N)]
        for gram, count in counts.items():
            self.values[len(gram) - 1][gram] = count * weights[gram]
        self.norms = [math.sqrt(math.fsum(value * value for value in row.values())) for row in self.values]

    def similarity(self, truth: _Vector) -> float:
        """Clipped cosine with a reference, averaged over n, times a penalty for another length."""
        total = 0.0
        for row, other, norm, other_norm in zip(self.values, truth.values, self.norms, truth.norms, strict=True):
            if norm and other_norm:
                shared = (min(value, other[gram]) * other[gram] for gram, value in row.items() if gram in other)
                total += math.fsum(shared) / (norm * other_norm)
        return total / MAX_N * math.exp(-((self.length - truth.length) ** 2) / (2 * _SIGMA**2))
