"""What a generated scene consists of: data only, independent of resolution, serialisable to JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from xdet.structures import Vocabulary

SHAPES = ('circle', 'square', 'triangle', 'star', 'heart', 'ring', 'cross')
"""Shapes of things; how each is drawn is defined in ``scene_shapes.py``."""

COLOURS = ('red', 'orange', 'yellow', 'green', 'blue', 'purple', 'white')
"""Colour words of things."""

MATERIALS = ('plain', 'striped', 'dotted', 'shaded')
"""Surfaces of things; not part of the class name."""

STUFF = ('sky', 'grass', 'sand', 'water', 'brick wall', 'wooden floor')
"""Backgrounds; how each is drawn is defined in ``scene_textures.py``."""

THINGS = tuple(f'{colour} {shape}' for colour in COLOURS for shape in SHAPES)
"""Class names of things, every colour with every shape."""

VOCABULARY = Vocabulary(THINGS + STUFF, (True,) * len(THINGS) + (False,) * len(STUFF))
"""All class names of the generated world: things first, then stuff."""


@dataclass(frozen=True)
class SceneObject:
    """One thing.

    Attributes:
        shape (str): One of :data:`SHAPES`.
        colour (str): One of :data:`COLOURS`.
        material (str): One of :data:`MATERIALS`.
        centre (tuple[float, float]): ``(x, y)`` as fractions of the picture's side, y pointing down.
        size (float): Diameter of the circle that encloses the shape, as a fraction of the picture's side.
        angle (float): Rotation in degrees, clockwise in the picture.
    """

    shape: str
    colour: str
    material: str
    centre: tuple[float, float]
    size: float
    angle: float

    def __post_init__(self) -> None:
        for value, accepted in ((self.shape, SHAPES), (self.colour, COLOURS), (self.material, MATERIALS)):
            if value not in accepted:
                raise ValueError(f'{value!r} is unknown to the scene generator; accepted are {", ".join(accepted)}')

    @property
    def name(self) -> str:
        """Class name, such as ``'red circle'``."""
        return f'{self.colour} {self.shape}'


@dataclass(frozen=True)
class Border:
    """The line between two regions, ``y(x) = height + tilt * (x - 0.5) + bend * wave(2 x + phase)``.

    All in fractions of the picture's side; ``wave`` has period 1 and amplitude 1.
    """

    height: float
    tilt: float
    bend: float
    phase: float


@dataclass(frozen=True)
class Light:
    """Light of the whole picture.

    Attributes:
        gain (float): Brightness factor at the picture's centre.
        slope (tuple[float, float]): Change of that factor from left to right and from top to bottom.
        noise (float): Half width of the triangular pixel noise, in grey values of 0..255.
    """

    gain: float
    slope: tuple[float, float]
    noise: float


@dataclass(frozen=True)
class Scene:
    """Everything that determines a picture, up to the size it is rendered at.

    Attributes:
        key (tuple[int, ...]): Where the scene comes from; also seeds texture and noise.
        regions (tuple[str, ...]): One name of :data:`STUFF` that fills the picture, or two: above and below ``border``.
        border (Border | None): The line between two regions, None with one region.
        objects (tuple[SceneObject, ...]): Things in drawing order, the rearmost first.
        light (Light): Light of the whole picture.
    """

    key: tuple[int, ...]
    regions: tuple[str, ...]
    border: Border | None
    objects: tuple[SceneObject, ...]
    light: Light

    def __post_init__(self) -> None:
        unknown = [name for name in self.regions if name not in STUFF]
        if unknown:
            raise ValueError(f'{unknown[0]!r} is unknown to the scene generator; accepted are {", ".join(STUFF)}')
        if len(self.regions) != (1 if self.border is None else 2):
            raise ValueError(f'{len(self.regions)} regions; a scene has one, or two with a border between them')

    def to_dict(self) -> dict[str, Any]:
        """The scene as plain data for ``json.dump``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Scene:
        """Inverse of :meth:`to_dict`, also after a round trip through JSON."""
        objects = tuple(SceneObject(**{**item, 'centre': tuple(item['centre'])}) for item in data['objects'])
        light = Light(**{**data['light'], 'slope': tuple(data['light']['slope'])})
        border = None if data['border'] is None else Border(**data['border'])
        return cls(tuple(data['key']), tuple(data['regions']), border, objects, light)
