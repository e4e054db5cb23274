"""Pieces of HTML; whatever comes from users or models is text in them, never markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from xdet.io.terminal import plain
from xdet.page.desk import Found, Picture
from xdet.structures import TextLine


def lines(content: Sequence[TextLine]) -> str:
    """Captions, answers and the like, with bars for their shares."""
    rows = []
    for line in content:
        text = _text(line.text)
        if line.share is not None:
            share = 100 * min(max(line.share, 0.0), 1.0)
            rows.append(f'<li class="xd-bar" style="--share:{share:.1f}%">{text}</li>')
        else:
            rows.append(f'<li class="xd-strong">{text}</li>' if line.bold else f'<li>{text}</li>')
    return f'<ul class="xd-lines">{"".join(rows)}</ul>' if rows else ''


def note(text: str, number: str = '') -> str:
    """What was done, or what to do next; ``number`` tells an answer from others that read the same."""
    return f'<p class="xd-note" role="status" data-answer="{_text(number)}">{_text(text)}</p>' if text else ''


def error(text: str) -> str:
    """What was wrong, in one line."""
    return f'<p class="xd-error" role="alert"><strong>Not done.</strong> {_text(" ".join(text.split()))}</p>'


def unknown(words: Iterable[str], elsewhere: str) -> str:
    """Words of the prompts that a model was not trained with, marked."""
    marked = ' '.join(f'<mark>{_text(word)}</mark>' for word in words)
    if not marked:
        return ''
    told = f'This model was not trained with {marked}, so what it says of that means little. {_text(elsewhere)}'
    return f'<p class="xd-unknown" role="note">{told.strip()}</p>'


def of_picture(picture: Picture) -> str:
    """What was read."""
    height, width = picture.size
    size = f'{width} × {height} pixels'
    if picture.original != picture.size:
        size = f'{picture.original[1]} × {picture.original[0]} pixels, shrunk to {size}'
    return note(f'{picture.name}: {size}')


def card(found: Found, number: int, lines_of_region: Sequence[str] = ()) -> str:
    """A region: its name, score, size and place, and what was said about it."""
    region = found.regions[number]
    x1, y1, x2, y2 = region.row['box']
    facts = f'{region.text} · {region.row["area"]} pixels · box {x1}, {y1} to {x2}, {y2}'
    said = ''.join(f'<p>{_text(line)}</p>' for line in lines_of_region)
    return f'<div class="xd-card" role="status"><h3>{_text(region.name)}</h3><p>{_text(facts)}</p>{said}</div>'


def _text(text: str) -> str:
    """Text that is no markup, with what turns the direction of letters, and the like, written out."""
    return escape(plain(text))
