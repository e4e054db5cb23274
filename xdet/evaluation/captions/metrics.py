"""Captions against references: exact agreement, and the scores of the COCO caption evaluation."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from xdet.evaluation.fields import field, name_of, require_results
from xdet.registry import METRICS
from xdet.structures.mentions import mentioned

from .scores import bleu, cider_d_scores, rouge_l
from .tokens import ptb_tokens, simple_tokens, why_no_ptb

_TOKENIZERS = ('auto', 'ptb', 'python')


def words(text: str) -> list[str]:
    """Lower-case words of a text, without punctuation."""
    return re.findall(r"[\w']+", text.lower())


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of every image, see :func:`cider_d_scores`, of the words that :func:`words` finds.

    Args:
        candidates (Sequence[str]): One caption per image.
        references (Sequence[Sequence[str]]): True captions of every image, at least one.
    """
    return cider_d_scores([words(text) for text in candidates], [[words(text) for text in own] for own in references])


def match_scores(pairs: Sequence[tuple[str, list[str]]]) -> dict[str, float]:
    """``exact``, ``exact_any`` and ``CIDEr-D`` of captions and their references, see :class:`CaptionMatch`."""
    candidates, references = zip(*pairs, strict=True)
    first = sum(words(text) == words(truths[0]) for text, truths in pairs)
    anyone = sum(words(text) in [words(truth) for truth in truths] for text, truths in pairs)
    return {
        'exact': 100 * first / len(pairs),
        'exact_any': 100 * anyone / len(pairs),
        'CIDEr-D': 100 * math.fsum(cider_d(candidates, references)) / len(pairs),
    }


class CaptionMetric(BaseMetric):
    """Base of what compares the best of ``pred_captions`` with the sample's ``captions``; keeps both as texts."""

    default_prefix = 'caption'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the texts of a batch of images."""
        self.results.extend(map(self.pair, data_samples))

    @staticmethod
    def pair(sample: dict) -> tuple[str, list[str]]:
        """The caption of a sample, empty if there is none, and its references."""
        captions, references = field(sample, 'pred_captions'), list(field(sample, 'captions'))
        if not references:
            raise ValueError(f'{name_of(sample)}: has no reference caption; every image needs at least one')
        return captions[0]['text'] if captions else '', references


@METRICS.register_module()
class CaptionMatch(CaptionMetric):
    """The best of ``pred_captions`` against the sample's ``captions``, in percent.

    ``exact`` is the share of images whose caption equals the first reference, word for word; ``exact_any`` any
    reference; ``CIDEr-D`` is :func:`cider_d` times 100, as papers print it: 1000 at best. For texts of our own making;
    :class:`CaptionQuality` gives the numbers of papers.

    Args:
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.
    """

    def compute_metrics(self, results: Sequence[tuple[str, list[str]]]) -> dict[str, float]:
        """Compare the captions of all images.

        Raises:
            ValueError: There is no image.
        """
        require_results(self, results)
        return match_scores(results)


@METRICS.register_module()
class CaptionNames(CaptionMetric):
    """Whether the best of ``pred_captions`` names the right things: exactly those that the first reference names.

    ``names`` is the share of images, in percent, whose caption mentions the same of ``names`` as the reference, in
    singular or plural, however often and whatever else it says. Images without a reference do not count.

    Args:
        names (Sequence[str]): Names to look for, such as those of all animals.
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.
    """

    def __init__(self, names: Sequence[str], prefix: str | None = None, **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)
        if isinstance(names, str) or not names:
            raise ValueError(f'CaptionNames: names is {names!r}; it must be a list of at least one name')
        self.names = list(names)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare the captions of a batch of images; None where nothing is known."""
        for sample in data_samples:
            if not field(sample, 'captions'):
                self.results.append(None)
                continue
            caption, references = self.pair(sample)
            self.results.append(mentioned(caption, self.names) == mentioned(references[0], self.names))

    def compute_metrics(self, results: Sequence[bool | None]) -> dict[str, float]:
        """Share of the images with a reference; NaN where there is none.

        Raises:
            ValueError: There is no image.
        """
        require_results(self, results)
        known = [result for result in results if result is not None]
        return dict(names=100 * sum(known) / len(known) if known else math.nan)


@METRICS.register_module()
class CaptionQuality(CaptionMetric):
    """The scores of the COCO caption evaluation for the best of ``pred_captions``, times 100 as papers print them.

    With Java and pycocoevalcap, its tokenizer and scorers give ``BLEU-1`` to ``BLEU-4``, ``METEOR``, ``ROUGE-L`` and
    ``CIDEr-D`` (which papers call CIDEr). Without, a tokenizer in Python gives ``BLEU-1_py`` and so on, without METEOR:
    near the published numbers but not comparable to the digit (docs/metrics.md).

    Args:
        tokenizer (str): ``'ptb'`` (needs Java), ``'python'``, or ``'auto'``: the former where possible.
        meteor (bool): Also ``METEOR``, where there is Java; it takes a minute or two to start.
        spice (bool): Also ``SPICE``. Takes minutes, several GB, and Stanford CoreNLP 3.6.0, which must be in place.
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ValueError: An argument is unknown, or asks for what is not installed.
    """

    def __init__(
        self,
        tokenizer: str = 'auto',
        meteor: bool = True,
        spice: bool = False,
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix=prefix, **kwargs)
        if tokenizer not in _TOKENIZERS:
            raise ValueError(f"CaptionQuality: tokenizer is '{tokenizer}'; accepted are {', '.join(_TOKENIZERS)}")
        missing = why_no_ptb()
        if missing and (tokenizer == 'ptb' or spice):
            raise ValueError(f'CaptionQuality: {"SPICE" if spice else "tokenizer ptb"} cannot run, {missing}')
        if spice and tokenizer == 'python':
            raise ValueError("CaptionQuality: SPICE needs tokenizer 'ptb' or 'auto'")
        if spice:
            _check_spice()
        self.meteor = meteor
        self.spice = spice
        self.uses_java = tokenizer != 'python' and not missing
        if missing and tokenizer == 'auto':
            print_log(
                f'CaptionQuality: {missing}, so the names of all scores end in _py: they are of another tokenizer than '
                'published ones, and METEOR is left out',
                logger='current',
            )

    def compute_metrics(self, results: Sequence[tuple[str, list[str]]]) -> dict[str, float]:
        """Score the captions of all images together.

        Raises:
            ValueError: There is no image.
        """
        require_results(self, results)
        score = self._score_with_java if self.uses_java else self._score_with_python
        return {name: 100 * float(value) for name, value in score(results).items()}

    @staticmethod
    def _score_with_python(results: Sequence[tuple[str, list[str]]]) -> dict[str, float]:
        candidates = [simple_tokens(text) for text, _ in results]
        references = [[simple_tokens(text) for text in truths] for _, truths in results]
        scores = {f'BLEU-{n}_py': value for n, value in enumerate(bleu(candidates, references), 1)}
        rouge = [rouge_l(*pair) for pair in zip(candidates, references, strict=True)]
        scores['ROUGE-L_py'] = math.fsum(rouge) / len(rouge)
        scores['CIDEr-D_py'] = math.fsum(cider_d_scores(candidates, references)) / len(results)
        return scores

    def _score_with_java(self, results: Sequence[tuple[str, list[str]]]) -> dict[str, float]:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.meteor.meteor import Meteor
        from pycocoevalcap.rouge.rouge import Rouge

        tokens = iter(ptb_tokens([text for candidate, truths in results for text in (candidate, *truths)]))
        candidates, references = {}, {}
        for index, (_, truths) in enumerate(results):
            candidates[index] = [' '.join(next(tokens))]
            references[index] = [' '.join(next(tokens)) for _ in truths]
        arguments = (references, candidates)
        scores = {f'BLEU-{n}': value for n, value in enumerate(Bleu(4).compute_score(*arguments, verbose=0)[0], 1)}
        if self.meteor:
            scores['METEOR'] = Meteor().compute_score(*arguments)[0]
        scores['ROUGE-L'] = Rouge().compute_score(*arguments)[0]
        scores['CIDEr-D'] = Cider().compute_score(*arguments)[0]
        if self.spice:
            from pycocoevalcap.spice.spice import Spice

            with contextlib.redirect_stdout(io.StringIO()):
                scores['SPICE'] = Spice().compute_score(*arguments)[0]
        return scores


def _check_spice() -> None:
    """Refuse what would start a download: pycocoevalcap fetches CoreNLP when it is missing."""
    import pycocoevalcap

    folder = Path(next(iter(pycocoevalcap.__path__))) / 'spice' / 'lib'
    for name in ('stanford-corenlp-3.6.0.jar', 'stanford-corenlp-3.6.0-models.jar'):
        if not (folder / name).is_file():
            raise ValueError(
                f'CaptionQuality: SPICE needs {name} in {folder}; python -m pycocoevalcap.spice.get_stanford_models '
                'downloads it once'
            )
