"""The shipped models: their names, or what one of them is made of."""

from __future__ import annotations

import argparse

from xdet.cli.errors import program
from xdet.cli.parsing import Parser
from xdet.io.terminal import tell


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description='List the shipped models, or show one.')
    parser.add_argument('name', nargs='?', default='*', help="a model, or a pattern such as '*focal-t*' (default: all)")
    parser.add_argument('--json', action='store_true', help='for programs: a list of objects')
    return parser


def run(args: argparse.Namespace) -> int:
    """Print names, configs and where weights can be had; returns the exit code."""
    import json

    import yaml

    from xdet.model_zoo import EMBEDDED, config_root, find_config, list_models

    index = yaml.safe_load((config_root() / 'xdecoder' / 'metafile.yml').read_text(encoding='utf-8'))
    configs = {name: find_config(name) for name in list_models(args.name)}
    if not configs:
        config = find_config(args.name)  # a short name or a path; of others it is said which are close
        configs[config.stem] = config
    published: dict[str, list[str]] = {}
    for entry in index['Models']:
        config = entry['Config'].rsplit('/', 1)[-1].removesuffix('.py')
        published.setdefault(config, []).append(entry['Weights'])
    rows = [
        dict(
            name=name,
            config=str(config),
            weights=published.get(name, []),
            embedded=next((known.name for known in EMBEDDED.values() if known.config == name), None),
        )
        for name, config in configs.items()
    ]
    if args.json:
        tell(*json.dumps(rows, indent=1).split('\n'))
        return 0
    for row in rows:
        tell(row['name'])
        if len(rows) == 1:
            tell(f'  config   {row["config"]}')
        if row['embedded']:
            tell(f'  weights  come with the package: --model {row["embedded"]}')
        for weights in row['weights'] or ():
            tell(f'  weights  {weights}')
    return 0


main = program(parser, run)
