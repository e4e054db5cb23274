"""What configs name of packages that are not installed is said in one line."""

from __future__ import annotations

import pytest

from xdet.compat import distributions
from xdet.compat.distributions import check_optional_packages


@pytest.mark.parametrize(
    ('cfg', 'named'),
    [
        (dict(pipeline=[dict(type='LoadXDetImage'), dict(type='mmseg.RandomCrop')]), 'mmseg.RandomCrop'),
        (dict(model=dict(backbone=dict(type='mmpretrain.SwinTransformer'))), 'mmpretrain.SwinTransformer'),
        (dict(model=dict(type='XDecoder', tasks=({'type': 'mmpretrain.X'},))), 'mmpretrain.X'),
    ],
)
def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, cfg: dict, named: str) -> None:
    check_optional_packages(cfg)
    monkeypatch.setattr(distributions, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match=rf'names {named}, and \w+ is not installed; pip install onedl-mm\w+$'):
        check_optional_packages(cfg)
    check_optional_packages(dict(model=dict(type='mmdet.Mask2Former', name='mmseg.x')))
