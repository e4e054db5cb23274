"""Hooks of MkDocs (mkdocs.yml): pages whose sources lie outside docs/, and links to files of the repository."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    'changes.md': 'CHANGELOG.md',
    'contributing.md': 'CONTRIBUTING.md',
    'security.md': 'SECURITY.md',
    'model_zoo.md': 'configs/xdecoder/README.md',
}
"""Pages of the site and the files of the repository that they are."""
IMAGES = {'images/demo_scene.png': 'demo/demo_scene.png'}
"""Likewise images."""

_LINK = re.compile(r'\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)')


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and images."""
    from mkdocs.structure.files import File

    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding='utf-8')))
    for image, source in IMAGES.items():
        files.append(File.generated(config, image, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to files of the repository into links to pages where they are some, else into plain names."""
    folder = posixpath.dirname(PAGES.get(page.file.src_path, f'docs/{page.file.src_path}'))
    known = {source: name for name, source in (PAGES | IMAGES).items()}

    def link(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ''
        path = posixpath.normpath(posixpath.join(folder, target))
        name = known.get(path, path.removeprefix('docs/') if path.startswith('docs/') else None)
        return f'[{text}]({name}{anchor})' if name else f'{text} (`{path}`)'

    return _LINK.sub(link, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Roles of Sphinx, which docstrings use for other editors, are plain code here."""
    return re.sub(r':(?:class|data|func|meth|attr|mod):<code>~?(?:[\w.]+\.)?(\w+)</code>', r'<code>\1</code>', html)
