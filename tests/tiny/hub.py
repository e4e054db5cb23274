"""A stand-in for the Hugging Face hub: as much of its HTTP interface as downloading and uploading a model takes."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = '0' * 40


class Hub:
    """Repositories by name, each a dict of files."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.tokens: list[str | None] = []
        self.address = ''


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub on a port of its own."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, body: bytes = b'', **headers: str) -> None:
            self.send_response(status)
            for name, value in {'Content-Length': str(len(body)), **headers}.items():
                self.send_header(name.replace('_', '-'), value)
            self.end_headers()
            if self.command != 'HEAD':
                self.wfile.write(body)

        def json(self, content: Any, status: int = 200) -> None:
            self.answer(status, json.dumps(content).encode(), Content_Type='application/json')

        def do_GET(self) -> None:
            hub.tokens.append(self.headers.get('Authorization'))
            path = self.path.split('?')[0].strip('/').split('/')
            if path[:2] == ['api', 'models'] and '/'.join(path[2:4]) in hub.repositories:
                files = [dict(rfilename=name) for name in hub.repositories['/'.join(path[2:4])]]
                if 'tree' in path:
                    return self.json([dict(type='file', path=file['rfilename'], size=1, oid='1') for file in files])
                return self.json(dict(id='/'.join(path[2:4]), sha=COMMIT, siblings=files))
            files_of = hub.repositories.get('/'.join(path[:2]), {})
            if path[2:3] == ['resolve'] and path[-1] in files_of:
                content = files_of[path[-1]]
                tag = hashlib.sha1(content).hexdigest()
                return self.answer(200, content, ETag=f'"{tag}"', X_Repo_Commit=COMMIT)
            return self.answer(404, b'{"error": "Repository not found"}', X_Error_Code='RepoNotFound')

        do_HEAD = do_GET

        def do_POST(self) -> None:
            hub.tokens.append(self.headers.get('Authorization'))
            body = self.rfile.read(int(self.headers['Content-Length']))
            path = self.path.split('?')[0].strip('/').split('/')
            if path == ['api', 'repos', 'create']:
                wish = json.loads(body)
                name = f'{wish["organization"]}/{wish["name"]}'
                if name.startswith('strange/'):
                    return self.json(dict(error='You have no rights to this namespace'), 403)
                hub.repositories.setdefault(name, {})
                if wish.get('private') or wish.get('visibility') == 'private':
                    hub.private.add(name)
                return self.json(dict(url=f'{hub.address}/{name}'))
            if 'preupload' in path:
                files = [
                    dict(path=file['path'], uploadMode='regular', shouldIgnore=False)
                    for file in json.loads(body)['files']
                ]
                return self.json(dict(files=files))
            if 'commit' in path:
                name = '/'.join(path[2:4])
                for line in map(json.loads, body.splitlines()):
                    if line['key'] == 'file':
                        content = base64.b64decode(line['value']['content'])
                        hub.repositories[name][line['value']['path']] = content
                return self.json(
                    dict(success=True, commitOid=COMMIT, commitUrl=f'{hub.address}/{name}/commit/{COMMIT}')
                )
            return self.json({}, 200)

    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        hub.address = f'http://127.0.0.1:{server.server_address[1]}'
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
