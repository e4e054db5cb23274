"""Messages of exceptions."""

from __future__ import annotations


def cause(error: BaseException) -> str:
    """Message of an exception in one line, with its class where the message alone says little."""
    # A KeyError shows its argument in quotes, which doubles those of a whole sentence.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if 'Original Traceback (most recent call last):' in lines:  # raised in a worker process of a data loader
        return lines[-1]
    line = ' '.join(lines)
    return line if ' ' in line else f'{type(error).__name__}: {line}'
