"""The page of demo/web in a headless Chromium finds what Python finds. Run with: make web test-browser."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny.browser import Watched

WEB = Path(__file__).resolve().parents[2] / 'demo' / 'web'
PHOTO = WEB.parent / 'photos' / 'chelsea.jpg'
NAMES = ['cat', 'dog', 'person']

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (WEB / 'node_modules').exists(), reason='onnxruntime-web is missing (make web)'),
    pytest.mark.skipif(not (WEB / 'model').exists(), reason='there is no exported model (make web)'),
]


@pytest.fixture(scope='module')
def page(chromium: Any) -> Iterator[Any]:
    """The page, loaded."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(WEB)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = Watched(chromium, viewport=dict(width=1000, height=1000))
    found.page.set_default_timeout(300_000)
    found.page.goto(f'http://127.0.0.1:{server.server_port}/index.html')
    found.page.wait_for_selector('#file:not([disabled])')
    yield found.page
    found.close()
    server.shutdown()


def test_page_finds_what_python_finds(page: Any, tmp_path: Path) -> None:
    """Of the pixels of a photograph, more than 99 % are in the same segments."""
    from xdet.runtime import OnnxInferencer
    from xdet.structures import decode_mask

    page.fill('#names', ', '.join(NAMES))
    page.set_input_files('#file', PHOTO)
    page.wait_for_function("document.getElementById('status').textContent.includes('segments in')")
    result = page.evaluate('async () => { const r = await window.xdet.segment(); return {...r, ids: [...r.ids]}; }')
    ids = np.array(result['ids']).reshape(result['height'], result['width'])
    [expected] = OnnxInferencer(WEB / 'model', threads=1)(PHOTO, 'panoptic', classes=NAMES)['predictions']
    canvas = np.zeros((expected['height'], expected['width']), dtype=int)
    for segment in expected['segments']:
        canvas[decode_mask(segment['segmentation'])] = segment['id']
    assert [segment['name'] for segment in result['segments']] == [one['name'] for one in expected['segments']]
    assert 'cat' in [segment['name'] for segment in result['segments']]
    assert (ids == canvas).mean() > 0.99
    scores = [[segment['score'] for segment in found] for found in (result['segments'], expected['segments'])]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)
    assert page.locator('#segments li').count() == len(result['segments'])
    page.screenshot(path=tmp_path / 'page.png')


def test_tokens_of_the_page(page: Any) -> None:
    from xdet.runtime.tokenizer import Tokenizer

    texts = ['a cat', "it's the CAT's 3 zürich-cafés!", 'tall &amp; thin  red\tcar', '日本', 'x' * 300]
    script = 'async (texts) => { const m = await window.xdet.ready; return texts.map((t) => m.tokenizer.encode(t)); }'
    found = page.evaluate(script, texts)
    facts = json.loads((WEB / 'model' / 'model.json').read_text())
    tokenizer = Tokenizer(WEB / 'model' / facts['text']['tokens'], facts['text']['context_length'])
    for text, ids in zip(texts, found, strict=True):
        assert ids == tokenizer([text])[0].tolist()


def test_mistakes_are_told(page: Any) -> None:
    """Each one with a line of its own, whether an image is open or not."""
    page.reload()
    page.wait_for_selector('#file:not([disabled])')
    told = "text => document.getElementById('status').textContent.startsWith(text)"
    page.fill('#names', ' , ')
    page.click('button')
    page.wait_for_function(told, arg='error: give one or several names')
    page.fill('#names', 'cat')
    page.click('button')
    page.wait_for_function(told, arg='error: choose an image first')
    page.set_input_files('#file', dict(name='x.png', mimeType='image/png', buffer=b'no image'))
    page.wait_for_function(told, arg='error: x.png: ')
    assert 'decode' in page.text_content('#status')
