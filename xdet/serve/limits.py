"""What one request may cost, declared once: the command line, the checks and the documented table follow."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from xdet.io.terminal import tell


def _limit(default: float, help: str) -> Any:
    return field(default=default, metadata=dict(help=help))


@dataclass(frozen=True)
class Limits:
    """Limits of a server; the help of each is what ``xdet serve --help`` says.

    Raises:
        ValueError: One is not above 0.
    """

    body_bytes: int = _limit(20 << 20, 'largest body of a request, in bytes')
    pixels: int = _limit(12_500_000, 'largest image, in pixels')
    names: int = _limit(500, 'most class names of a request; known lists by their name do not count')
    prompts: int = _limit(100, 'most phrases, questions, texts, regions and points of a request')
    text: int = _limit(300, 'longest name, phrase, question or text, in characters')
    characters: int = _limit(20_000, 'most characters of all texts of a request')
    mask_pixels: int = _limit(500_000_000, 'most pixels of all masks of a request: phrases and regions times image')
    generated: int = _limit(256, 'most texts that are written at a time: regions times beams or samples')
    tokens: int = _limit(100, 'longest generated text, in tokens')
    queue: int = _limit(32, 'most requests that wait for the model')
    connections: int = _limit(256, 'most open connections')
    body_seconds: float = _limit(20, 'time in which the headers, and then the body, of a request must have come')
    seconds: float = _limit(60, 'time in which a request must be answered once its body has come')
    kept_bytes: int = _limit(512 << 20, 'memory for encoded images that are kept')
    kept_seconds: float = _limit(600, 'time for which an encoded image is kept after its last use')

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not value > 0:
                raise ValueError(f'--{entry.name.replace("_", "-")} is {value}; accepted are numbers above 0')


def documented() -> str:
    """The table of all limits in docs/serve.md."""
    rows = ['| limit | default | meaning |', '|---|---|---|']
    rows += [
        f'| `--{e.name.replace("_", "-")}` | {getattr(Limits, e.name)} | {e.metadata["help"]} |' for e in fields(Limits)
    ]
    return '\n'.join(rows)


if __name__ == '__main__':
    tell(*documented().split('\n'))
