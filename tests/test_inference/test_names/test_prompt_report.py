"""Which names a model can hardly tell apart."""

import json

import pytest

from xdet.apis import XDecoderInferencer
from xdet.cli.main import main
from xdet.inference.names.prompt_report import NO_OBJECT, lines, report_names


@pytest.fixture(scope='module')
def model():
    return XDecoderInferencer('scenes', device='cpu')


def test_report(model):
    reports = {report.name: report for report in report_names(model, ['red cross', 'cross red', 'sky'])}
    assert reports['red cross'].same_tokens == ('cross red',) and reports['sky'].same_tokens == ()
    for name, report in reports.items():
        cosines = [cosine for _, cosine in report.nearest]
        assert cosines == sorted(cosines, reverse=True) and len(cosines) == 3
        assert name not in dict(report.nearest) and all(-1.001 <= cosine <= 1.001 for cosine in cosines)
        assert set(dict(report.confusions)) <= {'red cross', 'cross red', 'sky', NO_OBJECT} - {name}
        assert sum(share for _, share in report.confusions) < 1 and not report.too_long
    # The words of the model are compared with, too.
    assert any(other in model.default_vocabulary.names for other, _ in reports['sky'].nearest)
    assert 'same words  cross red' in '\n'.join(lines(list(reports.values())))


def test_too_long_names_are_told(model):
    (report,) = report_names(model, ['red ' * 100])
    assert report.too_long


def test_command(capsys):
    assert main(['prompts', 'red cross', 'sky', '--model', 'scenes', '--device', 'cpu', '--json']) == 0
    assert [row['name'] for row in json.loads(capsys.readouterr().out)] == ['red cross', 'sky']
    assert main(['prompts', 'red cross . sky', '--model', 'scenes', '--device', 'cpu', '--nearest', '1']) == 0
    assert 'nearest' in capsys.readouterr().out
    assert main(['prompts', 'sky', 'Sky', '--model', 'scenes', '--device', 'cpu']) == 2
    assert 'more than once' in capsys.readouterr().err
