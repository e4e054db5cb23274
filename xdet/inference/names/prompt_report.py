"""Which names a model can hardly tell apart, before any image is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xdet.io.schema import number
from xdet.structures import Vocabulary

if TYPE_CHECKING:
    from xdet.inference.inferencer import XDecoderInferencer


@dataclass(frozen=True)
class NameReport:
    """What the text encoder makes of a name.

    Attributes:
        name (str): The name.
        nearest (tuple[tuple[str, float], ...]): The most similar other names with their cosines, most similar first.
        confusions (tuple[tuple[str, float], ...]): Names that a query which is exactly this name would also be given,
            with their probabilities, if these are at least 1 %; "no object" is one of them.
        same_tokens (tuple[str, ...]): Names made of the same tokens, in this or another order: the text encoder can
            tell them apart by the order at most.
        too_long (bool): Whether the text encoder may cut the name off because it is too long.
    """

    name: str
    nearest: tuple[tuple[str, float], ...]
    confusions: tuple[tuple[str, float], ...]
    same_tokens: tuple[str, ...]
    too_long: bool


NO_OBJECT = '(no object)'
_LEAST_SHARE = 0.01
_AT_MOST = 100  # of a whole that have that share


def report_names(inferencer: XDecoderInferencer, names: Sequence[str], most: int = 3) -> list[NameReport]:
    """Compare names with each other and with the model's own class names, if it has some.

    Args:
        inferencer (XDecoderInferencer): The model.
        names (Sequence[str]): Class names.
        most (int): Nearest names per name.

    Raises:
        ValueError: A name is empty, or given twice.
    """
    import torch

    from xdet.models.similarity import cosine_logits

    most = number('most (--nearest)', most, int, 1)
    asked = Vocabulary.from_prompts(classes=names)
    own = inferencer.default_vocabulary
    # Competition is among what is asked for; the model's own names are only compared with.
    more = [name for name in (own.names if own is not None else ()) if name not in asked.names]
    model = inferencer.model
    text = model.vocabulary(asked).float()
    others = model.vocabulary(Vocabulary(tuple(more), (True,) * len(more)))[:-1].float() if more else text[:0]
    every = [*asked.names, *more]
    near = text[:-1] @ torch.cat([text[:-1], others]).T
    chances = cosine_logits(text[:-1], text, model.text_encoder.logit_scale.detach()).float().softmax(dim=-1)
    ids = model.text_encoder.tokenize(list(asked.names))
    tokens = [tuple(row) for row in ids.tolist()]
    bags = [tuple(sorted(row)) for row in tokens]
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, bag in enumerate(bags):
        alike.setdefault(bag, []).append(place)
    labels = [*asked.names, NO_OBJECT]
    # The end token has the largest id.
    full = (ids.argmax(dim=1) + 1 == model.text_encoder.context_length).tolist()
    reports = []
    for place, name in enumerate(asked.names):
        order = [other for other in near[place].topk(min(most + 1, len(every))).indices.tolist() if other != place]
        shares, likely = (column.tolist() for column in chances[place].topk(min(_AT_MOST, len(labels))))
        reports.append(
            NameReport(
                name=name,
                nearest=tuple((every[other], float(near[place, other])) for other in order[:most]),
                confusions=tuple(
                    (labels[other], share)
                    for other, share in zip(likely, shares, strict=True)
                    if other != place and share >= _LEAST_SHARE
                ),
                same_tokens=tuple(asked.names[other] for other in alike[bags[place]] if other != place),
                too_long=full[place],
            )
        )
    return reports


def lines(reports: Sequence[NameReport]) -> list[str]:
    """The reports for people."""
    told = []
    for report in reports:
        told.append(report.name)
        if report.nearest:
            told.append('  nearest     ' + ', '.join(f'{name} {cosine:.2f}' for name, cosine in report.nearest))
        if report.confusions:
            told.append(
                '  may become  ' + ', '.join(f'{name} {100 * share:.0f} %' for name, share in report.confusions)
            )
        if report.same_tokens:
            told.append(f'  same words  {", ".join(report.same_tokens)}: told apart by their order at most')
        if report.too_long:
            told.append('  too long    the text encoder does not read its end')
    return told
