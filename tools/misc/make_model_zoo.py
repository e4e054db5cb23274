"""Make model-index.yml and the tables of configs/xdecoder/README.md from the metafiles.

python tools/misc/make_model_zoo.py            # write what has changed
python tools/misc/make_model_zoo.py --check    # write nothing; fail if something would change
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from xdet.cli.parsing import Parser
from xdet.cli.running import run_program
from xdet.io.terminal import tell
from xdet.io.writing import write_text

ROOT = Path(__file__).resolve().parents[2]
METAFILE, WITHOUT_WEIGHTS = Path('configs/xdecoder/metafile.yml'), Path('configs/xdecoder/metafile_no_weights.yml')
README, INDEX = Path('configs/xdecoder/README.md'), Path('model-index.yml')
BEGIN, END = '<!-- {name}: made by tools/misc/make_model_zoo.py -->', '<!-- end of {name} -->'
MODEL_KEYS = {'Name', 'In Collection', 'Config', 'Metadata', 'Note', 'Results', 'Measured', 'Weights'}
RESULT_KEYS = {'Task', 'Dataset', 'Metrics', 'Source', 'Note'}


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='only compare; exit status 1 if a file is out of date')
    parser.add_argument('--root', type=Path, default=ROOT, help='checkout to work in (default: this one)')
    return parser.parse_args()


def read_metafile(root: Path, path: Path) -> dict:
    """A metafile with its entries checked.

    Raises:
        ValueError: An entry lacks something, has an unknown key, or names a config that does not exist.
    """
    try:
        content = yaml.safe_load((root / path).read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise ValueError(f'{path}: not valid YAML: {" ".join(str(error).split())}') from None
    for section in ('Models', 'Paper'):
        for model in content.get(section) or ():
            check_model(root, path, model, section)
    return content


def check_model(root: Path, path: Path, model: dict, section: str) -> None:
    """Raise ``ValueError`` for an entry that the tables or mim could not use."""
    name = model.get('Name')
    where = f'{path}: {name}'
    if not name or name != name.lower():
        raise ValueError(f'{where}: every entry needs a Name in lower case')
    unknown = sorted(set(model) - MODEL_KEYS)
    if unknown:
        raise ValueError(f'{where}: unknown key {unknown[0]!r}; accepted are {", ".join(sorted(MODEL_KEYS))}')
    if section == 'Models' and not (root / str(model.get('Config'))).is_file():
        raise ValueError(f'{where}: its Config {model.get("Config")} does not exist')
    if path == METAFILE and not str(model.get('Weights')).startswith('https://'):
        raise ValueError(f'{where}: Weights must be https://..., or mim breaks off; else use {WITHOUT_WEIGHTS}')
    for result in (*model.get('Results', ()), *model.get('Measured', ())):
        missing = sorted({'Task', 'Dataset', 'Metrics', 'Source'} - set(result))
        if missing or set(result) - RESULT_KEYS:
            raise ValueError(f'{where}: a result needs Task, Dataset, Metrics, Source and has {", ".join(result)}')
        if not all(isinstance(value, (int, float)) for value in result['Metrics'].values()):
            raise ValueError(f'{where}: Metrics of {result["Dataset"]} must be numbers: {result["Metrics"]}')


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [header, ('---',) * len(header), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def models_table(models: list[dict]) -> str:
    """One row per model: what it is and where its weights are."""
    rows = []
    for model in models:
        config, weights = Path(model['Config']), model.get('Weights')
        size = model['Metadata'].get('Parameters')
        rows.append((
            model['Name'],
            f'[{config.stem}]({config.name})',
            f'{size / 1e6:.1f} M' if size else '',
            model['Metadata']['Training Data'],
            f'[{weights.rsplit("/", 1)[-1]}]({weights})' if weights else '',
            model.get('Note', ''),
        ))  # fmt: skip
    return table(('model', 'config', 'parameters', 'trained on', 'weights', 'note'), rows)


def results_table(models: list[dict]) -> str:
    """One row per model, data set and task; a number that was not measured leaves its column empty."""
    rows = []
    for model in models:
        published, measured = (by_setting(model, key) for key in ('Results', 'Measured'))
        for dataset, task in dict.fromkeys((*published, *measured)):
            both = [entries.get((dataset, task), {}) for entries in (published, measured)]
            names = list(dict.fromkeys(name for entry in both for name in entry.get('Metrics', {})))
            columns = [joined([entry.get('Metrics', {}).get(name) for name in names]) for entry in both]
            remarks = [entry[key] for entry in both for key in ('Source', 'Note') if entry.get(key)]
            rows.append((model['Name'], dataset, ' / '.join(names), *columns, '; '.join(map(linked, remarks))))
    return table(('model', 'data set', 'measure', 'authors', 'xdet', 'source'), rows)


def by_setting(model: dict, key: str) -> dict[tuple[str, str], dict]:
    """Results of a model by data set and task.

    Raises:
        ValueError: Two results have the same.
    """
    results = {(result['Dataset'], result['Task']): result for result in model.get(key, ())}
    if len(results) < len(model.get(key, ())):
        raise ValueError(f'{model["Name"]}: {key} has two entries of one data set and task')
    return results


def joined(values: list[float | None]) -> str:
    """Values of one cell; empty if there are none."""
    if all(value is None for value in values):
        return ''
    return ' / '.join('-' if value is None else str(value) for value in values)


def linked(source: str) -> str:
    """A source that is a place in docs/ becomes a link."""
    return f'[{Path(source.split("#")[0]).name}](../../{source})' if source.startswith('docs/') else source


def with_block(text: str, name: str, content: str) -> str:
    """``text`` with what stands between the markers of a block replaced.

    Raises:
        ValueError: The markers are not there.
    """
    begin, end = BEGIN.format(name=name), END.format(name=name)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f'{README}: needs the lines "{begin}" and "{end}" once, in this order')
    head, _, rest = text.partition(begin)
    return f'{head}{begin}\n{content}\n{end}{rest.partition(end)[2]}'


def generate(root: Path) -> dict[Path, str]:
    """Contents of the generated files by path.

    Raises:
        OSError, ValueError: A metafile or the README is missing or unusable.
    """
    content, others = read_metafile(root, METAFILE), read_metafile(root, WITHOUT_WEIGHTS)
    models, paper = [*content['Models'], *others['Models']], others.get('Paper') or []
    names = [model['Name'] for model in (*models, *paper)]
    if len(set(names)) < len(names):
        raise ValueError(f'{METAFILE}: {next(name for name in names if names.count(name) > 1)} is there twice')
    text = (root / README).read_text(encoding='utf-8')
    text = with_block(text, 'models', models_table(models))
    text = with_block(text, 'results', results_table(models))
    text = with_block(text, 'paper', results_table(paper))
    return {README: text, INDEX: f'Import:\n  - {METAFILE.as_posix()}\n'}


def main() -> None:
    """Run; whatever the user can mend ends in one line."""
    args = parse_args()
    try:
        wanted = generate(args.root)
        stale = [
            path for path, text in wanted.items()
            if not (args.root / path).is_file() or (args.root / path).read_text(encoding='utf-8') != text
        ]  # fmt: skip
        if args.check and stale:
            names = ' and '.join(map(str, stale))
            raise ValueError(f'{names}: out of date; run python tools/misc/make_model_zoo.py')
        for path in stale:
            write_text(args.root / path, wanted[path])
            tell(f'wrote {path}')
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f'error: {error}') from None


if __name__ == '__main__':
    sys.exit(run_program(main))
