"""Frozen parts of a model in training."""

from torch import nn

from xdet.models.numerics.freezing import keep_frozen_in_eval


def build() -> nn.Module:
    def block() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))

    return nn.ModuleDict(dict(frozen=block(), mixed=nn.ModuleList([block(), block()]), free=nn.Dropout(0.5))).train()


def test_only_parts_without_a_trained_parameter_leave_training() -> None:
    model = build()
    model['frozen'].requires_grad_(False)
    model['mixed'][0].requires_grad_(False)
    keep_frozen_in_eval(model)
    training = {name for name, module in model.named_modules() if module.training}
    assert training == {'', 'mixed', 'mixed.1', 'mixed.1.0', 'mixed.1.1', 'free'}


def test_a_model_without_frozen_parameters_stays_as_it_is() -> None:
    model = build()
    keep_frozen_in_eval(model)
    assert all(module.training for module in model.modules())
