"""Images that come along, with something to ask of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Example:
    """A question about an image that comes along.

    Attributes:
        label (str): On its button.
        file (tuple[str, ...]): Beside the shipped configs.
        model (str): Name of an embedded model.
        task (str): Of this model.
        values (Mapping[str, Any]): Options by name, as the form holds them.
    """

    label: str
    file: tuple[str, ...]
    model: str
    task: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file.

        Raises:
            FileNotFoundError: It is not there.
        """
        from xdet.model_zoo import shipped_file

        return shipped_file(*self.file)


_PHOTOS = ('demo', 'photos')

EXAMPLES = (
    Example('A cat', (*_PHOTOS, 'chelsea.jpg'), 'photos', 'panoptic'),
    Example(
        'How many people?',
        (*_PHOTOS, 'astronaut.jpg'),
        'photos',
        'vqa',
        dict(questions='how many people are there? . is there a cat?'),
    ),
    Example('The woman', (*_PHOTOS, 'astronaut.jpg'), 'photos', 'refseg', dict(phrases='the woman')),
    # Honest about what a small model does not know: the answer marks the word.
    Example('A cup?', (*_PHOTOS, 'coffee.jpg'), 'photos', 'panoptic', dict(classes='cup . dining table')),
    Example('A drawn scene', ('demo', 'demo_scene.png'), 'scenes', 'panoptic'),
)
