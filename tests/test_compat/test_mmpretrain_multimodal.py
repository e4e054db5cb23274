"""mmpretrain stays importable beside a transformers that is too new for its multimodal models."""

from importlib import metadata

import pytest
from mmpretrain.utils import dependency

from xdet.compat.mmpretrain_multimodal import disable_multimodal_mmpretrain


@pytest.mark.parametrize(('version', 'left_on'), [('4.57.0', True), ('5.0.0', False), ('6.1', False), (None, True)])
def test_only_too_new_versions_count_as_absent(monkeypatch, version, left_on):
    def installed(name):
        assert name == 'transformers'
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, 'version', installed)
    monkeypatch.setattr(dependency, 'WITH_MULTIMODAL', True)
    disable_multimodal_mmpretrain(dependency)
    assert dependency.WITH_MULTIMODAL is left_on
