"""Files that users may hand in as images, by name; with the size (height, width) as read, or what the error says."""

from __future__ import annotations

import functools
import io
import pickle
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Upload:
    """A file.

    Attributes:
        name (str): Of the file.
        data (bytes): Its content.
        read (tuple[int, int] | str): Height and width before shrinking, or a part of the error.
    """

    name: str
    data: bytes
    read: tuple[int, int] | str

    def __str__(self) -> str:
        return self.name[:40]


@functools.cache
def uploads() -> tuple[Upload, ...]:
    """More than twenty of them."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    image = Image.fromarray(noise)
    whole, jpg = _encoded(image, 'PNG'), _encoded(image, 'JPEG')
    orientation = Image.Exif()
    orientation[0x0112] = 6
    frames = [Image.new('RGB', (30, 20), color) for color in ('red', 'green', 'blue')]
    page = b'<html><script>document.title = "owned"</script></html>'
    script = b'<svg xmlns="http://www.w3.org/2000/svg"><script>document.title = "owned"</script></svg>'
    return (
        Upload('text.jpg', b'This is a text and no image.', 'not an image'),
        Upload('truncated.png', whole[: len(whole) // 2], 'damaged or truncated'),
        Upload('truncated.jpg', jpg[: len(jpg) // 2], 'damaged or truncated'),
        Upload('bomb.png', raw_png(60_000, 60_000, 2, 8, bytes(100)), 'too large'),
        Upload('many_pixels.png', _encoded(Image.new('1', (10_000, 8_000)), 'PNG'), 'has 10000 x 8000 pixels'),
        Upload('half.png', raw_png(60, 40, 2, 8, bytes(20 * 181)), 'damaged or truncated'),
        Upload('empty.jpg', b'', 'file is empty'),
        Upload('sixteen_bits.png', _encoded(Image.fromarray(noise[..., 0].astype(np.uint16) * 257), 'PNG'), (40, 60)),
        Upload('cmyk.jpg', _encoded(image.convert('CMYK'), 'JPEG'), (40, 60)),
        Upload('grey.png', _encoded(image.convert('L'), 'PNG'), (40, 60)),
        Upload('palette.png', _encoded(image.convert('P'), 'PNG', transparency=3), (40, 60)),
        Upload('animated.gif', _encoded(frames[0], 'GIF', save_all=True, append_images=frames[1:]), (20, 30)),
        Upload('rotated.jpg', _encoded(image, 'JPEG', exif=orientation), (60, 40)),
        Upload('one_pixel.png', _encoded(Image.new('RGB', (1, 1), 'red'), 'PNG'), (1, 1)),
        Upload('wide.png', _encoded(Image.new('RGB', (10_000, 10), 'blue'), 'PNG'), (10, 10_000)),
        Upload('high.png', _encoded(Image.new('RGB', (10, 10_000), 'blue'), 'PNG'), (10_000, 10)),
        Upload('floats.tif', _encoded(Image.fromarray(noise[..., 0].astype(np.float32)), 'TIFF'), 'floating-point'),
        Upload('drawing.svg', script, 'not an image'),
        Upload('page.png', page, 'not an image'),
        Upload('document.png', b'%PDF-1.4\n1 0 obj\n<<>>\nendobj\n', 'not an image'),
        Upload('program.jpg', b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n', 'not an image'),
        Upload('pickle.png', pickle.dumps(dict(image=[1, 2, 3])), 'not an image'),
        Upload('n' * 240 + '.png', whole, (40, 60)),
        Upload('<img src=x onerror="document.title=1">.png', whole, (40, 60)),
        Upload('<script>document.title="owned"</script>.jpg', b'no image', 'not an image'),
        Upload('картинка 画像 🐈.png', whole, (40, 60)),
    )


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def raw_png(width: int, height: int, colours: int, bits: int, rows: bytes) -> bytes:
    """A PNG that says one thing and perhaps holds another.

    Args:
        width (int): What it says, and so are the others.
        height (int): Likewise.
        colours (int): 0 for grey, 2 for RGB.
        bits (int): Of a channel.
        rows (bytes): Each begins with a zero.
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', width, height, bits, colours, 0, 0, 0)
    content = chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + content
