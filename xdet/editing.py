"""Edits what a phrase means in an image: mask, then any inpainting pipeline; OpenCV's filling removes without one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
import torch
from PIL import Image

from xdet.inference.inputs.images import ImageInput, expand_images
from xdet.io.reading import expand, shorten
from xdet.io.schema import number, shown
from xdet.lazy import import_optional
from xdet.retrieval.regions import segment_phrase

if TYPE_CHECKING:
    from xdet.inference.inferencer import XDecoderInferencer

REMOVAL_PROMPT = 'clean and empty scene'
"""Prompt that removes what the phrase means."""

_MOST = 16384  # pixels: more than any pipeline paints
_FITS = ('pad', 'crop')
_RIM = {True: 3, False: 12}  # by which masks grow, with a pipeline and without


class InpaintingPipeline(Protocol):
    """What ``diffusers``' inpainting pipelines can be called with; white in ``mask_image`` is painted anew."""

    def __call__(
        self, *, prompt: str, image: Image.Image, mask_image: Image.Image, height: int, width: int, **kwargs: Any
    ) -> Any:
        """Returns an object whose ``images`` are Pillow images of ``width x height`` pixels."""


@dataclass(frozen=True)
class EditResult:
    """An edited image.

    Attributes:
        image (PIL.Image.Image): RGB, in the size of the image; pixels outside ``edited`` are those of the image.
        mask (np.ndarray): bool ``[H, W]``, what the phrase means.
        edited (np.ndarray): bool ``[H, W]``, the dilated mask: where pixels may have changed.
        score (float): Mean foreground probability inside ``mask``.
    """

    image: Image.Image
    mask: np.ndarray
    edited: np.ndarray
    score: float


def edit_image(
    inferencer: XDecoderInferencer,
    image: ImageInput,
    phrase: str,
    prompt: str = REMOVAL_PROMPT,
    *,
    pipeline: InpaintingPipeline | str | Path | None = None,
    dilation: int | None = None,
    feather: int = 0,
    shortest_side: int | None = 512,
    multiple: int = 64,
    fit: str = 'pad',
    seed: int | None = None,
    **pipeline_kwargs: Any,
) -> EditResult:
    """Replace or remove what a phrase means.

    The image is resized so that its shortest side has the pipeline's size, brought to a multiple of ``multiple``,
    painted by the pipeline where the dilated mask is, resized back and pasted into the original through the mask.

    Args:
        inferencer (XDecoderInferencer): With a model that has the task ``refseg``.
        image (ImageInput): Path, URL, BGR array or Pillow image.
        phrase (str): What to replace, ``'the dog on the left'``.
        prompt (str): What to paint in its place; :data:`REMOVAL_PROMPT` removes it.
        pipeline (InpaintingPipeline | str | Path, optional): A ``diffusers`` inpainting pipeline or anything that is
            called the same way; or the folder of one, see :func:`load_inpainting_pipeline` (which is worth calling once
            when several images are edited). None removes with :func:`fill_from_around`, which paints nothing new.
        dilation (int, optional): Times the mask grows by one pixel in all eight directions, in the resized image. None
            is 3 with a pipeline, and 12 without one: colours left over at the rim would fill the gap.
        feather (int): Width in pixels of the image of a soft transition, inside the edited region; 0 is a hard edge.
        shortest_side (int, optional): Size in pixels the pipeline works at; None is the image's own.
        multiple (int): Of which width and height must be multiples: 8 for Stable Diffusion, officially 64. Without a
            pipeline any size will do.
        fit (str): ``'pad'`` repeats the right and bottom edges for the pipeline, so that all of the image can be
            edited; ``'crop'`` cuts them off, as the official demo does, and leaves them unedited.
        seed (int, optional): Given to the pipeline as ``generator``.
        **pipeline_kwargs: Further arguments of the pipeline, such as ``num_inference_steps``.

    Returns:
        EditResult: Edited image and masks.

    Raises:
        ImageReadError: The image cannot be read.
        ImportError, OSError: A pipeline given by its folder cannot be loaded.
        ValueError: Nothing in the image fits the phrase, an argument is impossible or needs a pipeline, or the pipeline
            returned something other than an image of the size it was asked for.
    """
    dilation = _RIM[pipeline is not None] if dilation is None else number('dilation', dilation, int, 0, _MOST)
    feather = number('feather', feather, int, 0, _MOST)
    multiple = number('multiple', multiple, int, 1, 1024)
    if shortest_side is not None:
        shortest_side = number('shortest_side', shortest_side, int, multiple, _MOST)
    if not isinstance(fit, str) or fit not in _FITS:
        raise ValueError(f'fit is {shown(fit)}; accepted are {" and ".join(map(repr, _FITS))}')
    for name, text in dict(phrase=phrase, prompt=prompt).items():
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f'{name} is {shown(text)}; accepted is a text')
    if seed is not None:
        seed = number('seed', seed, int, -(2**63), 2**64 - 1, 'from -2^63 to 2^64 - 1, or None')
    if pipeline is None:
        _check_removal(prompt, seed, pipeline_kwargs)
    elif not isinstance(pipeline, (str, Path)) and not callable(pipeline):
        raise ValueError(f'pipeline is a {type(pipeline).__name__}; accepted are a folder and an inpainting pipeline')
    sources, _ = expand_images(image)
    if len(sources) != 1:
        raise ValueError(f'edit_image takes one image, not {len(sources)}')
    pixels = sources[0].read()
    if isinstance(pipeline, (str, Path)):
        pipeline = load_inpainting_pipeline(pipeline, inferencer.device)
    mask, score = segment_phrase(inferencer, pixels, phrase)
    if not mask.any():
        raise ValueError(f'{sources[0].name}: no pixel fits the phrase {phrase!r}, so there is nothing to edit')
    if seed is not None:
        pipeline_kwargs['generator'] = torch.Generator('cpu').manual_seed(seed)
    paint = functools.partial(_paint, pipeline or fill_from_around, prompt, pipeline_kwargs)
    multiple = multiple if pipeline is not None else 1
    result, edited = _edit(pixels[..., ::-1], mask, paint, dilation, feather, shortest_side, multiple, fit)
    return EditResult(Image.fromarray(result), mask, edited, score)


def remove_region(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fill a region from what lies around it, as :func:`edit_image` does without a pipeline.

    Args:
        image (np.ndarray): RGB uint8 ``[H, W, 3]``.
        mask (np.ndarray): bool ``[H, W]``.

    Returns:
        np.ndarray: RGB uint8 ``[H, W, 3]``.
    """
    paint = functools.partial(_paint, fill_from_around, REMOVAL_PROMPT, {})
    return _edit(image, mask, paint, _RIM[False], multiple=1)[0]


def fill_from_around(*, image: Image.Image, mask_image: Image.Image, **_: Any) -> Any:
    """An :class:`InpaintingPipeline` without a model: colours of the rim, continued inwards by OpenCV (A. Telea, "An
    image inpainting technique based on the fast marching method", 2004).

    Small things on even ground disappear; a large region becomes a blur.

    Raises:
        ValueError: The region is the whole image.
    """
    hole = np.asarray(mask_image)
    if hole.all():
        raise ValueError('what is to be removed covers the whole image, so nothing lies around it')
    filled = cv2.inpaint(np.asarray(image), hole, 5, cv2.INPAINT_TELEA)
    return SimpleNamespace(images=[Image.fromarray(filled)])


def _check_removal(prompt: str, seed: int | None, pipeline_kwargs: dict[str, Any]) -> None:
    """Refuse what only a pipeline can do."""
    given = dict(prompt=prompt if prompt != REMOVAL_PROMPT else None, seed=seed) | pipeline_kwargs
    for name, value in given.items():
        if value is not None:
            raise ValueError(f'{name} is {shown(value)}, which needs an inpainting pipeline')


def _edit(
    original: np.ndarray,
    mask: np.ndarray,
    paint: Callable[[np.ndarray, np.ndarray], np.ndarray],
    dilation: int,
    feather: int = 0,
    shortest_side: int | None = 512,
    multiple: int = 64,
    fit: str = 'pad',
) -> tuple[np.ndarray, np.ndarray]:
    """The edited image, RGB uint8, and where it may have changed; ``paint`` gets an image and 255 where to paint."""
    small, region = _resize(original, mask, shortest_side)
    region = dilate(region, dilation)
    canvas, hole = _to_multiple(small, multiple, fit), _to_multiple(region.astype(np.uint8) * 255, multiple, fit, 0)
    painted = paint(canvas, hole)[: small.shape[0], : small.shape[1]]
    small[: painted.shape[0], : painted.shape[1]] = painted
    edited = _resize_mask(region, mask.shape[::-1]) | mask
    edited &= _reached(painted.shape[:2], small.shape[:2], mask.shape)
    return paste(original, _resize_picture(small, mask.shape[::-1]), edited, feather), edited


def load_inpainting_pipeline(path: str | Path, device: str | torch.device = 'cpu', **kwargs: Any) -> InpaintingPipeline:
    """Load an inpainting pipeline that ``diffusers`` saved in a folder; nothing is downloaded.

    Args:
        path (str | Path): The folder.
        device (str | torch.device): Where it shall run.
        **kwargs: Of ``AutoPipelineForInpainting.from_pretrained``, such as ``torch_dtype``.

    Raises:
        ImportError: diffusers is not installed.
        OSError: There is no such folder, or it holds no pipeline.
    """
    path = expand(path)
    if not path.is_dir():
        named = shorten(str(path))
        raise FileNotFoundError(f"inpainting pipeline '{named}' is not a folder; give one that diffusers saved")
    diffusers = import_optional('diffusers', 'loading an inpainting pipeline', 'edit')
    try:
        loaded = diffusers.AutoPipelineForInpainting.from_pretrained(str(path), local_files_only=True, **kwargs)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OSError(f"inpainting pipeline '{path}' cannot be loaded: {' '.join(str(error).split())}") from error
    return loaded.to(device)


def dilate(mask: np.ndarray, iterations: int) -> np.ndarray:
    """Grow a bool mask ``[H, W]`` by one pixel in all eight directions, some times; it stays inside the image."""
    if not iterations:
        return mask.copy()
    iterations = min(iterations, max(mask.shape))  # the whole image by then
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=iterations).astype(bool)


def paste(original: np.ndarray, painted: np.ndarray, mask: np.ndarray, feather: int = 0) -> np.ndarray:
    """Put ``painted`` into ``original`` where the mask is.

    Args:
        original (np.ndarray): RGB uint8 ``[H, W, 3]``.
        painted (np.ndarray): Likewise.
        mask (np.ndarray): bool ``[H, W]``. Outside, nothing changes.
        feather (int): Pixels inside the mask over which the original fades out.

    Returns:
        np.ndarray: RGB uint8 ``[H, W, 3]``.
    """
    if not feather:
        return np.where(mask[..., None], painted, original)
    # Distance to the nearest pixel outside, 1 for pixels at the edge. The image's border is no edge.
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    alpha = np.minimum(distance / (feather + 1), 1)[..., None] if not mask.all() else np.ones((), np.float32)
    return np.round(alpha * painted + (1 - alpha) * original).astype(np.uint8)


def _resize(picture: np.ndarray, mask: np.ndarray, shortest_side: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask at the size the pipeline works at; the long side is rounded down, as torchvision does."""
    height, width = mask.shape
    if shortest_side is None or min(height, width) == shortest_side:
        return picture.copy(), mask
    scale = shortest_side / min(height, width)
    size = (
        shortest_side if width <= height else int(width * scale),
        shortest_side if height <= width else int(height * scale),
    )
    return _resize_picture(picture, size), _resize_mask(mask, size)


def _resize_picture(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bicubic, to ``(width, height)``."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def _resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """To ``(width, height)``: every pixel that the mask covers by half; a thin mask that would vanish, by any part."""
    if (mask.shape[1], mask.shape[0]) == size:
        return mask
    share = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR))
    return share >= 128 if (share >= 128).any() else share > 0


def _to_multiple(array: np.ndarray, multiple: int, fit: str, fill: int | None = None) -> np.ndarray:
    """Array ``[H, W, ...]`` whose sides are multiples; filled up at the right and the bottom, or cut off there."""
    height, width = array.shape[:2]
    if fit == 'crop':
        if min(height, width) < multiple:
            raise ValueError(f"an image of {width}x{height} pixels has nothing left after fit='crop' to {multiple}")
        return array[: height // multiple * multiple, : width // multiple * multiple]
    kind = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    return cv2.copyMakeBorder(array, 0, -height % multiple, 0, -width % multiple, kind, value=fill or 0)


def _paint(
    pipeline: InpaintingPipeline, prompt: str, kwargs: dict[str, Any], canvas: np.ndarray, hole: np.ndarray
) -> np.ndarray:
    """What the pipeline makes of an image, RGB uint8 of the same size."""
    height, width = hole.shape
    output = pipeline(
        prompt=prompt,
        image=Image.fromarray(np.ascontiguousarray(canvas)),
        mask_image=Image.fromarray(np.ascontiguousarray(hole)),
        height=height,
        width=width,
        **kwargs,
    )
    images = getattr(output, 'images', None)
    if not images or not isinstance(images[0], Image.Image):
        raise ValueError('the inpainting pipeline returned no Pillow images; call it with output_type="pil"')
    if images[0].size != (width, height):
        raise ValueError(
            f'the inpainting pipeline was asked for {width}x{height} pixels but returned '
            f'{images[0].size[0]}x{images[0].size[1]}; try another value of multiple'
        )
    return np.asarray(images[0].convert('RGB'))


def _reached(painted: tuple[int, ...], small: tuple[int, ...], original: tuple[int, ...]) -> np.ndarray:
    """Pixels bool ``[H, W]`` of the original that the pipeline saw: all but what ``fit='crop'`` cut off."""
    seen = np.zeros(original, dtype=bool)
    height, width = (full * part // whole for full, part, whole in zip(original, painted, small, strict=True))
    seen[:height, :width] = True
    return seen
