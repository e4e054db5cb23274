"""The generated world in motion: films of scenes whose things move, hide each other, leave and come back.

A film is a scene and a motion for each of its things; every frame is a scene, drawn as all others are. The identity of
a segment is its place in the segment map, the same in all frames, so the ground truth of tracking is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from numpy.random import RandomState

from .description import Scene
from .render import RenderedScene, render_scene
from .sampling import MAX_ANGLE, sample_scene

_MOVING = 2
"""Appended to a scene's key, this seeds the motion of its things (1 seeds drawing it)."""


@dataclass(frozen=True)
class Motion:
    """How a thing moves: straight on, and back where it meets a wall.

    Attributes:
        velocity (tuple[float, float]): Change of the centre per frame, in fractions of the side of the image.
        walls (tuple[float, float]): Least and greatest coordinate of the centre in both directions. Walls outside of
            the image let the thing leave it and come back.
        spin (float): Change of the angle per frame, in degrees; things swing between the angles of still scenes.
    """

    velocity: tuple[float, float]
    walls: tuple[float, float]
    spin: float

    def at(self, start: tuple[float, float], frame: int) -> tuple[float, float]:
        """Centre in a frame, of a thing that starts between the walls."""
        low, high = self.walls
        across, down = (
            _between(begin + speed * frame, low, high) for begin, speed in zip(start, self.velocity, strict=True)
        )
        return across, down


@dataclass(frozen=True)
class SceneFilm:
    """A film.

    Attributes:
        scene (Scene): Its first frame.
        motions (tuple[Motion, ...]): One per thing.
        num_frames (int): How long it is.
    """

    scene: Scene
    motions: tuple[Motion, ...]
    num_frames: int

    def __len__(self) -> int:
        return self.num_frames

    def frame(self, index: int) -> Scene:
        """The scene of a frame, 0 <= ``index`` < :attr:`num_frames`. Things may be outside of the image."""
        if not 0 <= index < self.num_frames:
            raise IndexError(f'frame {index} of a film of {self.num_frames}')
        moved = [
            replace(
                item,
                centre=motion.at(item.centre, index),
                angle=_between(item.angle + motion.spin * index, -MAX_ANGLE, MAX_ANGLE),
            )
            for item, motion in zip(self.scene.objects, self.motions, strict=True)
        ]
        return replace(self.scene, objects=tuple(moved))

    def render(self, size: int) -> Iterator[RenderedScene]:
        """Frames with their ground truth, one after the other.

        Args:
            size (int): Side in pixels.

        Yields:
            RenderedScene: The value of a pixel of ``segment_map`` is the identity of its segment in all frames.
                ``segments_info`` lists those that are seen.
        """
        for index in range(self.num_frames):
            drawn = render_scene(self.frame(index), size)
            seen = set(drawn.segment_map.ravel().tolist())
            yield replace(drawn, segments_info=[info for info in drawn.segments_info if info['id'] in seen])


def _between(value: float, low: float, high: float) -> float:
    """Where a walk ends that turns back at two walls; a short number, so that frames are the same everywhere."""
    gone = (value - low) % (2 * (high - low))
    return round(low + min(gone, 2 * (high - low) - gone), 4)


def sample_film(split: str, seed: int, index: int, num_frames: int = 40, speed: float = 1.0) -> SceneFilm:
    """The film that begins with a scene of the generated world, always the same one.

    About every third thing may leave the image; the others turn back at its border.

    Args:
        split (str): See :func:`~xdet.scenes.sampling.sample_scene`.
        seed (int): Likewise.
        index (int): Likewise.
        num_frames (int): How long it is, from 1.
        speed (float): Factor of all speeds; at 1, things move by 1 to 3 % of the side per frame.

    Raises:
        ValueError: Values out of range.
    """
    if num_frames < 1 or not 0 <= speed < 100:
        raise ValueError(
            f'num_frames is {num_frames} and speed {speed}; accepted are numbers from 1, and from 0 to 100'
        )
    scene = sample_scene(split, seed, index)
    rng = RandomState((*scene.key, _MOVING))
    motions = []
    for item in scene.objects:
        across, down = rng.uniform(0.007, 0.021, 2) * rng.choice([-1, 1], 2) * speed
        reach = 0.5 - 0.48 * item.size
        walls = (-0.6 * item.size, 1 + 0.6 * item.size) if rng.rand() < 0.35 else (0.5 - reach, 0.5 + reach)
        motions.append(Motion((round(across, 4), round(down, 4)), walls, round(rng.uniform(-2, 2) * speed, 2)))
    return SceneFilm(scene, tuple(motions), num_frames)
