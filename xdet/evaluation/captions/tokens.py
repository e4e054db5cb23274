"""Splitting captions into words, as the COCO caption evaluation does it or nearly so."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence

from xdet.lazy import import_optional

_CLITICS = re.compile(r"(?<=\w)(n't|'(?:s|m|d|ll|re|ve))\b")
_JOINED = re.compile(r'\b(can)(not)\b|\b(gon|wan)(na)\b|\b(got)(ta)\b')
_TOKEN = re.compile(
    r"""n't|'(?:s|m|d|ll|re|ve|n)\b"""  # what was split off
    r"""|(?:\w\.){2,}|\b(?:mrs?|ms|dr|st|jr|vs|etc)\."""  # abbreviations keep their full stop
    r"""|[\w\#@](?:(?:[-./@&']|(?<=\d)[,:](?=\d))*\w)*"""
    r"""|[$%&+=*/]|[()\[\]{}]"""
)
_BRACKETS = dict(zip('()[]{}', ('-lrb-', '-rrb-', '-lsb-', '-rsb-', '-lcb-', '-rcb-'), strict=True))


def why_no_ptb() -> str | None:
    """Why the Penn Treebank tokenizer cannot run here, None if it can."""
    try:
        import_optional('pycocoevalcap', 'it')
    except ImportError as error:
        return str(error)
    if shutil.which('java') is None:
        return 'there is no java on the path'
    return None


def ptb_tokens(texts: Sequence[str]) -> list[list[str]]:
    """Words of every text by the Penn Treebank tokenizer of pycocoevalcap, a Java program.

    Raises:
        OSError: The tokenizer does not run, or cannot write into its own folder as it does.
    """
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    # A text without any character would get no line of output if it were the last; punctuation is removed later.
    lines = {index: [dict(caption=' '.join(text.split()) or '.')] for index, text in enumerate(texts)}
    split = PTBTokenizer().tokenize(lines)
    if len(split) != len(texts):
        raise OSError(f'the Penn Treebank tokenizer gave {len(split)} lines for {len(texts)} captions')
    return [split[index][0].split() for index in range(len(texts))]


def simple_tokens(text: str) -> list[str]:
    """Words of a text, nearly as :func:`ptb_tokens` splits them, without Java.

    Lower case, no punctuation, "n't", "'s" and the like apart, words with hyphens whole. Rare abbreviations and signs
    may come out otherwise (docs/metrics.md says how often).
    """
    text = text.lower().replace('\N{RIGHT SINGLE QUOTATION MARK}', "'")
    text = _JOINED.sub(lambda match: ' '.join(filter(None, match.groups())), _CLITICS.sub(r' \1', text))
    return [_BRACKETS.get(token, token) for token in _TOKEN.findall(text)]
