"""Whether a model is as often right as it says."""

import pytest
import torch

from xdet.analysis.reliability import Evidence, draw_reliability, fit_temperature, reliability
from xdet.inference.names.calibration import Calibration
from xdet.structures import Vocabulary


def made(scale: float, right: float = 0.7, images: int = 3) -> list[Evidence]:
    """One sure query per name and pixels of which a share has the name that is said."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(images):
        said = torch.randint(2, (2000,), generator=generator)
        labels = torch.where(torch.rand(2000, generator=generator) < right, said, 1 - said)
        masks = torch.where(torch.arange(2)[:, None] == said, scale, -scale).float()
        found.append(Evidence(torch.eye(2, 3) * 60 - 30, masks, labels))
    return found


def test_a_temperature_mends_what_is_too_sure() -> None:
    learning, measured = made(4.0), made(4.0, images=2)
    before = reliability(measured)
    assert before.error == pytest.approx(0.97 - 0.7, abs=0.02)
    temperature = fit_temperature(learning)
    after = reliability(measured, temperature)
    assert temperature > 2 and after.error < 0.03 and after.loss < before.loss
    assert float((after.count * after.accuracy).sum()) == pytest.approx(float((before.count * before.accuracy).sum()))


def test_what_is_reliable_stays(tmp_path) -> None:
    evidence = made(0.847)  # a probability of 0.7
    assert reliability(evidence).error < 0.02 and fit_temperature(evidence) == pytest.approx(1, abs=0.1)
    draw_reliability({'before': reliability(evidence)}, tmp_path / 'r.png', 'a title')
    assert (tmp_path / 'r.png').stat().st_size > 1000


def test_no_evidence() -> None:
    for use in (reliability, fit_temperature):
        with pytest.raises(ValueError, match='no image has labelled pixels'):
            use([])


def test_temperatures_are_kept_by_vocabulary(tmp_path) -> None:
    pets = Vocabulary.from_prompts(classes='cat . dog')
    Calibration('ab').with_temperature(pets, 1.5).save(tmp_path / 'c.json')
    read = Calibration.load(tmp_path / 'c.json')
    assert read.temperature(Vocabulary.from_prompts(things='dog', stuff='Cat')) == 1.5
    assert read.temperature(Vocabulary.from_prompts(classes='cat')) == 1.0
    text = (tmp_path / 'c.json').read_text()
    (tmp_path / 'c.json').write_text(text.replace('1.5', '0'))
    with pytest.raises(ValueError, match='temperature of'):
        Calibration.load(tmp_path / 'c.json')
