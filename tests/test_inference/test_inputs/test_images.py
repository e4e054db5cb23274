import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdet.datasets.files.image_io import ImageReadError
from xdet.inference.inputs import images
from xdet.inference.inputs.images import expand_images


@pytest.fixture
def folder(tmp_path):
    for name in ('b.png', 'a.JPG', 'c.webp'):
        Image.new('RGB', (4, 3), (10, 20, 30)).save(tmp_path / name)
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'sub').mkdir()
    Image.new('RGB', (4, 3)).save(tmp_path / 'sub' / 'd.png')
    return tmp_path


def names(given):
    sources, _ = expand_images(given)
    return [source.name for source in sources]


def test_folder_lists_its_images_and_those_below_in_order(folder):
    (folder / '.hidden').mkdir()
    (folder / '.hidden' / 'x.png').write_bytes(b'')
    sources, is_collection = expand_images(folder)
    assert is_collection
    expected = [str(folder / name) for name in ('a.JPG', 'b.png', 'c.webp', 'sub/d.png')]
    assert [source.name for source in sources] == expected
    assert [source.name for source in expand_images(folder, leave_out=folder / 'sub')[0]] == expected[:3]
    assert [source.name for source in expand_images(folder, leave_out=folder)[0]] == expected


def test_results_are_no_images_of_the_next_run(folder):
    before = names(folder)
    for name in ('preds/a_panoptic.png', 'vis/a.png', 'sub/vis/e.png'):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b'')
    found = [source.name for source in expand_images(folder, leave_out=folder)[0]]
    assert found == [*before, str(folder / 'sub' / 'vis' / 'e.png')]


def test_what_is_listed_but_gone_is_told(folder):
    (folder / 'gone.png').symlink_to(folder / 'nowhere.png')
    os.mkfifo(folder / 'pipe.png')
    for name, reason in (('gone.png', 'does not exist'), ('pipe.png', 'is a pipe')):
        (source,) = (source for source in expand_images(folder)[0] if source.name.endswith(name))
        with pytest.raises(ImageReadError, match=reason):
            source.read()


@pytest.mark.parametrize('target', ['.', 'sub'])
def test_links_do_not_multiply_images(folder, tmp_path_factory, target):
    outside = tmp_path_factory.mktemp('outside')
    (outside / 'linked.png').write_bytes(b'')
    for link, to in {'sub/again': folder / target, 'zz': folder / 'sub', 'link': outside}.items():
        (folder / link).symlink_to(to, target_is_directory=True)
    found = [Path(name).resolve() for name in names(folder)]
    assert len(found) == len(set(found)) == 5 and outside / 'linked.png' in found


def test_patterns_are_expanded(folder):
    for pattern, names in {
        '*.png': ['b.png'],
        '**/*.png': ['b.png', 'sub/d.png'],
        '[ab].*': ['a.JPG', 'b.png'],
    }.items():
        sources, is_collection = expand_images(str(folder / pattern))
        assert is_collection and [source.name for source in sources] == [str(folder / name) for name in names]
    ((missing,), _) = expand_images(str(folder / '*.tiff'))
    with pytest.raises(ImageReadError, match='no file fits this pattern'):
        missing.read()
    (folder / '[x].png').write_bytes(b'')
    ((literal,), is_collection) = expand_images(str(folder / '[x].png'))
    assert literal.name.endswith('[x].png') and not is_collection


@pytest.mark.parametrize(
    ('pattern', 'found'),
    [
        ('**', ['a.JPG', 'b.png', 'c.webp', 'notes.txt', 'sub/d.png']),
        ('**/**/**/*.png', ['b.png', 'sub/d.png']),
        ('*/*.png', ['sub/d.png']),
        ('s?b/**/d.*', ['sub/d.png']),
        ('**/sub/**', ['sub/d.png']),
        ('[!a]*.png', ['b.png']),
    ],
)
def test_patterns_end_among_linked_folders(folder, pattern, found):
    for number in range(3):
        (folder / 'sub' / f'again{number}').symlink_to(folder, target_is_directory=True)
    assert names(str(folder / pattern)) == [str(folder / name) for name in found]


def test_patterns_without_end_are_refused(folder):
    ((bad,), _) = expand_images(str(folder / '/'.join(['**', 'a'] * 4)))
    with pytest.raises(ImageReadError, match='three times at most'):
        bad.read()
    assert names(str(folder / ('**/' * 50)) + '*.png') == [str(folder / 'b.png'), str(folder / 'sub' / 'd.png')]


@pytest.mark.parametrize('item', ['a' * 5000, '~nosuchuser/a.png', 'a\0b.png', f'{"x" * 300}/y.png'])
def test_impossible_paths_are_one_bad_image_of_a_list(item):
    bad, good = expand_images([item, np.zeros((2, 2, 3), np.uint8)])[0]
    assert good.read().shape == (2, 2, 3)
    with pytest.raises(ImageReadError) as caught:
        bad.read()
    assert len(str(caught.value)) < 500


def test_one_image_is_no_collection(folder):
    for image in (folder / 'b.png', str(folder / 'b.png'), np.zeros((2, 2), np.uint8), 'https://host/x.jpg?size=2'):
        sources, is_collection = expand_images(image)
        assert len(sources) == 1 and not is_collection


def test_lists_may_mix_kinds(folder):
    array = np.zeros((2, 2, 3), np.uint8)
    picture = Image.new('L', (2, 2))
    assert names(['x.png', array, folder, picture]) == ['x.png', 'image_1', *names(folder), 'image_3']


def test_empty_list():
    with pytest.raises(ValueError, match='list of images is empty'):
        expand_images([])


@pytest.mark.parametrize('bad', [3, None, {'a': 1}])
def test_things_that_are_no_image_say_so_when_read(bad):
    sources, _ = expand_images(['x.png', bad])
    with pytest.raises(ImageReadError, match=f'image_1: is a {type(bad).__name__}; accepted are paths'):
        sources[1].read()


def test_folder_without_images(tmp_path):
    sources, _ = expand_images(tmp_path)
    with pytest.raises(ImageReadError, match='no image files'):
        sources[0].read()


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK', 'YCbCr', 'HSV', 'I', 'I;16'])
def test_pillow_images_of_every_mode(mode):
    source = expand_images(Image.new(mode, (5, 4)))[0][0]
    pixels = source.read()
    assert pixels.shape == (4, 5, 3) and pixels.dtype == np.uint8


def test_pillow_pixels_are_read_as_files_are(tmp_path):
    rgb = np.random.RandomState(0).randint(0, 255, (6, 5, 3), np.uint8)
    image = Image.fromarray(rgb)
    image.getexif()[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / 'turned.png', exif=image.getexif())
    from_file, from_pillow = expand_images([tmp_path / 'turned.png', Image.open(tmp_path / 'turned.png')])[0]
    assert from_file.read().shape == (5, 6, 3)
    assert (from_file.read() == from_pillow.read()).all()
    assert (expand_images(Image.fromarray(rgb))[0][0].read() == rgb[..., ::-1]).all()


def test_sixteen_bit_pillow_images_are_not_clipped():
    grey = Image.fromarray(np.full((3, 3), 0x8040, np.uint16))
    assert (expand_images(grey)[0][0].read() == 0x80).all()


def test_float_pillow_images_are_refused():
    with pytest.raises(ImageReadError, match='floating-point'):
        expand_images(Image.new('F', (2, 2)))[0][0].read()


def test_folder_takes_all_readable_kinds_and_names_the_rest(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(images, 'warn_once', said.append)
    for name, kind in (('a.png', 'PNG'), ('b.jfif', 'JPEG'), ('c.avif', 'AVIF'), ('d.JP2', 'JPEG2000')):
        Image.new('RGB', (4, 3)).save(tmp_path / name, kind)
    for name in ('._a.png', '.DS_Store', 'e.txt'):
        (tmp_path / name).touch()
    assert names(tmp_path) == [str(tmp_path / name) for name in ('a.png', 'b.jfif', 'c.avif', 'd.JP2')]
    assert len(said) == 1 and '1 file(s) that end in .txt are left out, the first is e.txt' in said[0]


@pytest.mark.parametrize('bad', ['x' * 300, 'a\0b', '~nosuchuser/a.png', 'a' * 100_000])
def test_impossible_paths_are_one_failed_image(bad):
    sources, _ = expand_images([bad])
    with pytest.raises(ImageReadError) as caught:
        sources[0].read()
    assert len(str(caught.value)) < 500
    assert expand_images(bad)[1] is False


def test_pillow_modes_that_cannot_be_converted_are_named():
    image = Image.new('LA', (4, 4)).convert('La')
    with pytest.raises(ImageReadError, match='image_0: cannot be decoded'):
        expand_images(image)[0][0].read()


def test_masked_arrays_are_refused():
    array = np.ma.masked_array(np.zeros((4, 4, 3), np.uint8))
    assert expand_images(array)[0][0].read().shape == (4, 4, 3)
    array[0, 0] = np.ma.masked
    with pytest.raises(ImageReadError, match='image_0: has masked pixels'):
        expand_images(array)[0][0].read()
