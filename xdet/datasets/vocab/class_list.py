"""What a file in ``data/`` holds: the classes of one benchmark and how they are put to a text encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xdet.structures import Vocabulary


@dataclass(frozen=True)
class ClassList:
    """Classes of a benchmark; label ``i`` means ``names[i]``.

    Attributes:
        title (str): What the list is.
        source (str): Where it comes from.
        names (tuple[str, ...]): Names as published; some lists repeat some.
        is_thing (tuple[bool, ...]): Which are countable; all False for benchmarks of the semantic task alone.
        prompts (tuple[str, ...]): What the official code gives its text encoder for each class; empty if these are
            the names (apart from suffixes such as ``-merged``, which go whenever a name is embedded).
        synonyms (tuple[tuple[str, ...], ...]): Several prompts for each class; empty if there are none.
        aliases (Mapping[str, str]): Other names that annotation files use, and the name in this list.
        ids (tuple[int, ...]): Number of each class in the published label images; empty where it is the position.
        quirks (tuple[str, ...]): What is odd about it, one sentence each.
    """

    title: str
    source: str
    names: tuple[str, ...]
    is_thing: tuple[bool, ...]
    prompts: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, ...], ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    ids: tuple[int, ...] = ()
    quirks: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> ClassList:
        """Read a file of this package."""
        content = json.loads(path.read_text(encoding='utf-8'))
        names, things = tuple(content['names']), content['things']
        return cls(
            title=content['title'],
            source=content['source'],
            names=names,
            is_thing=tuple(things == 'all' or name in things for name in names),
            prompts=tuple(content.get('prompts', ())),
            synonyms=tuple(map(tuple, content.get('synonyms', ()))),
            aliases=content.get('aliases', {}),
            ids=tuple(content.get('ids', ())),
            quirks=tuple(content['quirks']),
        )

    def vocabulary(self, synonyms: bool = False) -> Vocabulary:
        """As the vocabulary of a sample.

        Args:
            synonyms (bool): Describe every class by all of its synonyms instead of one prompt.

        Raises:
            ValueError: Synonyms are wanted and there are none.
        """
        if synonyms and not self.synonyms:
            raise ValueError(f'there are no synonyms for {self.title}')
        prompts = self.synonyms if synonyms else tuple((prompt,) for prompt in self.prompts)
        return Vocabulary(self.names, self.is_thing, prompts)

    def only_things(self, title: str) -> ClassList:
        """The list of its things, without aliases."""
        rows = [row for row, thing in enumerate(self.is_thing) if thing]

        def pick(values: tuple) -> tuple:
            return tuple(values[row] for row in rows) if values else ()

        return replace(
            self,
            title=title,
            names=pick(self.names),
            is_thing=pick(self.is_thing),
            prompts=pick(self.prompts),
            synonyms=pick(self.synonyms),
            ids=pick(self.ids),
            aliases={},
        )

    def labels(self, categories: Sequence[str]) -> list[int | None]:
        """Labels of the categories of an annotation file, by name; None for those that are not in this list.

        Files may name a category by its prompt, by an alias, or by several synonyms separated by commas, of which the
        first counts. A name that the list repeats has no label of its own: it means the first of them.
        """
        label_of: dict[str, int] = {}
        for names in (self.names, self.prompts):
            for label, name in enumerate(names):
                label_of.setdefault(name, label)
        label_of.update({alias: self.names.index(name) for alias, name in self.aliases.items()})
        return [
            label_of.get(name.strip(), label_of.get(name.split(',')[0].strip())) if name else None
            for name in categories
        ]
