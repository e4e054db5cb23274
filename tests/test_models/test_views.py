"""Maps of several views: brought back to their places, averaged, and an exact no-op for one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from xdet.models.views import encode_views
from xdet.structures import ImageFeatures, XDetDataSample
from xdet.structures.views import PLAIN, views_of


def pooled(images: Tensor) -> ImageFeatures:
    """An encoder that is equivariant: means of the pixels of each cell."""
    maps = tuple(F.avg_pool2d(images, stride) for stride in (4, 8, 16, 32))
    return ImageFeatures(maps, maps[0] * 2, maps[:0:-1], images)


def levels(features: ImageFeatures) -> list[Tensor]:
    return [*features.backbone, features.mask_features, *features.memory]


def smooth(height: int, width: int) -> Tensor:
    rows, columns = torch.linspace(0, 1, height)[:, None], torch.linspace(-1, 2, width)[None]
    return torch.stack([rows + 0 * columns, columns + 0 * rows, rows * columns])[None]


@pytest.mark.parametrize(('views', 'near'), [('flip', 1e-6), ('1, flip', 1e-6), ('0.5, 1, 1.5 flip, 2', 0.02)])
def test_views_of_an_equivariant_encoder_are_its_maps(views: str, near: float) -> None:
    """Resizing continues the borders of a map as they are, so there scales differ."""
    images = smooth(96, 160)
    expected, found = pooled(images), encode_views(pooled, images, views_of(views))
    assert found.image is images
    for own, wanted in zip(levels(found), levels(expected), strict=True):
        torch.testing.assert_close(own[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1], atol=near, rtol=near)


def test_places_are_brought_back() -> None:
    """An encoder that marks the left of what it sees marks the right of the image when it is shown mirrored."""

    def left(images: Tensor) -> ImageFeatures:
        marks = torch.zeros_like(images)
        marks[..., : images.shape[-1] // 2] = 1
        return pooled(marks)

    images = smooth(64, 64)
    plain, mirrored = (encode_views(left, images, views_of(views)) for views in ('1', 'flip'))
    both = encode_views(left, images, views_of('1, flip'))
    assert torch.equal(mirrored.mask_features, plain.mask_features.flip(-1))
    assert (both.mask_features == 1).all()


@torch.no_grad()
def test_one_plain_view_changes_no_bit(inferencer) -> None:
    model, images = inferencer.model, torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    expected = model.encode(images)
    for own, wanted in zip(levels(model.encode_views(images, PLAIN)), levels(expected), strict=True):
        assert torch.equal(own, wanted)
    averaged = model.encode_views(images, views_of('1, flip, 0.5'))
    assert [own.shape for own in levels(averaged)] == [own.shape for own in levels(expected)]
    assert not torch.equal(averaged.mask_features, expected.mask_features)


@torch.no_grad()
def test_images_of_a_batch_have_views_of_their_own(inferencer) -> None:
    """A request's views go before those of the model."""
    model, image = inferencer.model, torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))

    def scores(*asked: str | None) -> list[Tensor]:
        samples = []
        for views in asked:
            sample = XDetDataSample(metainfo=dict(ori_shape=(64, 64), img_shape=(64, 64)))
            request = inferencer.check('instance', classes='dog . cat', views=views)
            request.apply(sample, 'image')
            samples.append(sample)
        return [sample.pred_instances.scores for sample in model.predict([image] * len(asked), samples)]

    plain, twice, again = scores(None, '1, flip', '1')
    assert torch.equal(plain, again) and not torch.equal(plain, twice)
    model.views = views_of('1, flip')
    try:
        for own, wanted in zip(scores(None, '1'), (twice, plain), strict=True):
            torch.testing.assert_close(own, wanted)
    finally:
        model.views = PLAIN


def test_views_reach_every_way_to_ask(inferencer, tmp_path) -> None:
    image = (torch.rand(48, 60, 3, generator=torch.Generator().manual_seed(1)) * 255).byte().numpy()
    asked = dict(task='instance', classes='dog . cat')
    called = inferencer(image, **asked, views='1, flip')['predictions'][0]
    plain = inferencer(image, **asked)['predictions'][0]
    assert called['provenance']['prompts']['views'] == ['1', 'flip'] and 'views' not in plain['provenance']['prompts']
    encoded = inferencer.set_image(image, views=[1, 'flip'])
    kept = inferencer.predict(image=encoded, **asked)['predictions'][0]
    found, expected, without = ([row['score'] for row in one['segments']] for one in (kept, called, plain))
    assert found == pytest.approx(expected, abs=1e-5) and found != pytest.approx(without, abs=1e-5)
    with pytest.raises(ValueError, match='views is for images that are not encoded yet; give it to set_image'):
        inferencer.predict(image=encoded, **asked, views='1, flip')
    with pytest.raises(ValueError, match="views has 'up'"):
        inferencer(image, **asked, views='up')
