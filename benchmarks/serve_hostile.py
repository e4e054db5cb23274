"""Whether `xdet serve` survives what it should refuse.

    python benchmarks/serve_hostile.py --out serve_hostile.json

Starts the server with the default model and sends 1,000 hostile requests of the kinds in KINDS, 8 at a time. Between
them an honest request must be answered as before; at the end, too. 500 and errors of several lines are faults.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import io
import json
import random
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from PIL import Image
from serve_load import FOLDER, Server, essence, form

from xdet.cli.places import output_file
from xdet.io.writing import write_json

BODY_SECONDS = 4
PHOTO = (FOLDER / 'chelsea.jpg').read_bytes()
TASKS = ('panoptic', 'instance', 'semantic', 'refseg', 'caption', 'refcaption', 'vqa', 'classification', 'retrieval')
OPTIONS = (
    *('things', 'stuff', 'classes', 'vocabulary', 'background', 'score', 'mask', 'overlap', 'presence', 'phrases'),
    *('boxes', 'masks', 'questions', 'texts', 'num_beams', 'max_tokens', 'num_texts', 'top_p', 'seed', 'nms_iou'),
    *('color_by', 'return_vis', 'max_per_image', 'min_area', 'image', 'handle', 'tasks', 'out_dir', '__class__'),
)


def small(width: int = 8, height: int = 8, kind: str = 'PNG') -> bytes:
    """A small image file."""
    file = io.BytesIO()
    Image.new('RGB', (width, height), (90, 120, 30)).save(file, kind)
    return file.getvalue()


def text(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


def http(path: str, body: bytes, kind: str = 'application/json', more: str = '') -> bytes:
    """A whole request."""
    head = f'POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: {kind}\r\n{more}'
    return f'{head}Content-Length: {len(body)}\r\n\r\n'.encode('utf-8', 'replace') + body


def of_task(rng: random.Random, **fields: Any) -> bytes:
    """A request in JSON for some task."""
    return http(f'/v1/tasks/{rng.choice(TASKS)}', json.dumps(fields).encode())


def bomb(width: int, height: int) -> bytes:
    """PNG of so many pixels in few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', binascii.crc32(name + data))

    pack = zlib.compressobj(9)
    row = b'\0' + b'\0' * (width // 8 + 1)
    data = b''.join([pack.compress(row * 100) for _ in range(min(height // 100, 200))] + [pack.flush()])
    head = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 1, 0, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + head + chunk(b'IDAT', data) + chunk(b'IEND', b'')


def oversized(rng: random.Random) -> bytes:
    """More bytes than accepted, told or not told before."""
    if rng.random() < 0.5:
        return http('/v1/images', b'x', more='').replace(b'Content-Length: 1\r', b'Content-Length: 99999999999\r')
    if rng.random() < 0.5:
        return http('/v1/tasks/panoptic', b'A' * (21 << 20))
    chunk = b'100000\r\n' + b'A' * (1 << 20) + b'\r\n'
    head = b'POST /v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n'
    return head + chunk * 22 + b'0\r\n\r\n'


def bombs(rng: random.Random) -> bytes:
    """Few bytes that claim to be many pixels, or many texts inside of an image."""
    size = rng.choice([(4000, 4000), (30_000, 30_000), (200_000, 200_000), (2**31 - 1, 1), (1, 2**31 - 1)])
    data = bomb(*size)
    if rng.random() < 0.3:
        header = bytearray(small(kind='BMP'))
        header[18:26] = struct.pack('<ii', 100_000, rng.choice([100_000, -100_000]))
        data = bytes(header)
    elif rng.random() < 0.3:
        file = small(kind='GIF')
        data = file[:6] + struct.pack('<HH', 65535, 65535) + file[10:]
    if rng.random() < 0.3:
        return of_task(rng, image=text(small()), masks=[text(data)])
    if rng.random() < 0.3:
        return of_task(
            rng, image=text(small()), masks=[dict(size=[rng.choice([10**9, 10**18, 46341]), 46341], counts='0')]
        )
    return http('/v1/tasks/panoptic', *form(data)) if rng.random() < 0.5 else of_task(rng, image=text(data))


def damaged(rng: random.Random) -> bytes:
    """Images with wrong bytes, and files that are none."""
    data = bytearray(
        rng.choice([PHOTO, small(64, 64), small(64, 64, 'WEBP'), small(64, 64, 'TIFF'), small(64, 64, 'GIF')])
    )
    for _ in range(rng.choice([1, 5, 50])):
        data[rng.randrange(min(len(data), 400))] = rng.randrange(256)
    data = data[: rng.choice([len(data), len(data) // 2, 20, 0])]
    special = [
        b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n',
        b'PK\3\4',
        b'<svg/>',
        b'\x80\4\x95cos\nsystem\n.',
        b'\0' * 999,
    ]
    return http('/v1/images', *form(bytes(data) if rng.random() < 0.7 else rng.choice(special)))


def wrong_types(rng: random.Random) -> bytes:
    """Values of every kind where others are expected."""
    values: list[Any] = [
        None,
        True,
        -1,
        0,
        3.5,
        '',
        'x',
        [],
        [[]],
        [1],
        {},
        {'a': 1},
        [None],
        [['a'], ['b']],
        'é' * 9,
        '\ud800',
    ]
    fields = {rng.choice(OPTIONS): rng.choice(values) for _ in range(3)}
    if rng.random() < 0.8:
        fields['image'] = text(small())
    path = rng.choice(['/v1/predict', '/v1/images', *(f'/v1/tasks/{task}' for task in TASKS)])
    return http(path, json.dumps(fields if rng.random() < 0.9 else rng.choice(values)).encode())


def paths(rng: random.Random) -> bytes:
    """Names of files and addresses wherever a text is taken."""
    trick = rng.choice(
        [
            '/etc/passwd',
            '../../../../etc/passwd',
            'file:///etc/passwd',
            'http://127.0.0.1:1/a.jpg',
            '~/.ssh/id_rsa',
            '\\\\host\\share',
            'a\0b',
            's3://bucket/key',
            '/dev/zero',
            'demo/photos/*.jpg',
            '//127.0.0.1/x',
        ]
    )
    name = rng.choice(
        ['image', 'vocabulary', 'masks', 'out_dir', 'weights', 'classes', 'phrases', 'handle', 'color_by']
    )
    if rng.random() < 0.2:
        target = rng.choice(
            [
                '/v1/images/..%2f..%2fetc%2fpasswd',
                '/v1/../../etc/passwd',
                '//etc/passwd',
                '/v1/tasks/%00',
                '/static/../x',
            ]
        )
        method = rng.choice(['GET', 'DELETE', 'PUT', 'TRACE'])
        return f'{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'.encode()
    if rng.random() < 0.3:
        body, kind = form(small(), **{name if name != 'image' else 'x': trick.replace('\0', '')})
        return http('/v1/tasks/panoptic', body.replace(b'a.jpg', trick.encode()), kind)
    return of_task(rng, **{'image': text(small()), name: [trick] if name == 'masks' else trick})


def quadratic(rng: random.Random) -> bytes:
    """Texts that naive splitting or matching takes long for."""
    length = rng.choice([10_000, 19_000, 300_000])
    unit = rng.choice(
        [
            'a',
            'a. ',
            ' . ',
            '?',
            ' ',
            '\n',
            '((((',
            'ab;',
            '. .',
            '\u0301',
            'ﷺ',
            '!' * 7 + 'a',
            '<|endoftext|>',
            '=',
            ' \t',
        ]
    )
    value = (unit * length)[:length]
    field = rng.choice(['classes', 'phrases', 'questions', 'texts', 'background', 'things', 'vocabulary'])
    return of_task(rng, **{'image': text(small()), field: value if rng.random() < 0.5 else value.split()})


def multipart(rng: random.Random) -> bytes:
    """Forms that are broken, endless, or nested."""
    body, kind = form(PHOTO, classes='cat')
    which = rng.randrange(9)
    if which == 0:
        body = body[: rng.randrange(len(body))]
    elif which == 1:
        kind = rng.choice(
            ['multipart/form-data', 'multipart/form-data; boundary=', 'multipart/form-data; boundary=' + 'b' * 5000]
        )
    elif which == 2:
        body = body.replace(b'name="image"', b'nam="image"')
    elif which == 3:
        body = b'--part\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' * 5000 + b'--part--\r\n'
    elif which == 4:
        body = b'--part\r\n' + b'X-A: b\r\n' * 5000 + b'\r\n1\r\n--part--\r\n'
    elif which == 5:
        body = (
            b'--part\r\nContent-Disposition: form-data; name="image"; filename="'
            + b'a' * 50_000
            + b'"\r\n\r\nx\r\n--part--\r\n'
        )
    elif which == 6:
        body = body.replace(b'\r\n\r\n', b'\r\nContent-Transfer-Encoding: base64\r\n\r\n', 1)
    elif which == 7:
        body = b'\r\n--par' * 300_000
    else:
        body = body.replace(b'\r\n', b'\n')
    return http('/v1/tasks/panoptic', body, kind)


def numbers(rng: random.Random) -> bytes:
    """Numbers that are none, or too large."""
    value = rng.choice(
        [
            'NaN',
            'Infinity',
            '-Infinity',
            '1e999',
            '-1e999',
            '9' * 400,
            '9' * 6000,
            '1e-400',
            '-0.0',
            '00',
            '0x10',
            '1e5',
        ]
    )
    field = rng.choice(
        ['score', 'mask', 'presence', 'num_beams', 'max_tokens', 'num_texts', 'seed', 'min_area', 'nms_iou', 'boxes']
    )
    value = f'[[0, 0, {value}, {value}]]' if field == 'boxes' else value
    body = f'{{"image": "{text(small())}", "{field}": {value}}}'.encode()
    return http(f'/v1/tasks/{rng.choice(TASKS)}', body)


def deep(rng: random.Random) -> bytes:
    """JSON in JSON in JSON, and JSON of a million values."""
    depth = rng.choice([20, 1000, 90_000, 2_000_000])
    opening, closing = rng.choice([('[', ']'), ('{"a":', '}'), ('[[],', ']')])
    body = opening * depth + '1' + closing * depth
    return http('/v1/predict', f'{{"image": "{text(small())}", "tasks": {body}}}'.encode())


def broken_http(rng: random.Random) -> bytes:
    """What is no HTTP, or not quite."""
    return rng.choice(
        [
            b'\x16\x03\x01\x02\0\x01\0\x01\xfc' + rng.randbytes(500),
            b'GET / HTTP/9.9\r\n\r\n',
            b'GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n' + b'X: y\r\n' * 30_000 + b'\r\n',
            b'POST /v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n',
            b'POST /v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef',
            b'POST /v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
            b'GET /' + b'a' * 70_000 + b' HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
            b'GET /healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
            b'GET /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n',
            b'GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n',
            http('/v1/images', b'x', more='Content-Encoding: gzip\r\n'),
            http('/v1/images', small(), rng.choice(['image/png', 'text/xml', '', 'application/x-www-form-urlencoded'])),
        ]
    )


def slow(rng: random.Random) -> bytes:
    """Beginning of a request; the rest comes byte by byte (see `send`)."""
    return http('/v1/images', *form(PHOTO))[: rng.choice([0, 30, 300])]


KINDS: dict[str, tuple[Callable[[random.Random], bytes], int]] = {
    'oversized bodies': (oversized, 60),
    'decompression bombs': (bombs, 120),
    'damaged images': (damaged, 120),
    'wrong types': (wrong_types, 150),
    'paths and addresses': (paths, 120),
    'quadratic texts': (quadratic, 100),
    'broken multipart': (multipart, 100),
    'impossible numbers': (numbers, 80),
    'deep and endless JSON': (deep, 60),
    'broken HTTP': (broken_http, 60),
    'slow requests': (slow, 30),
}


def send(server: Server, data: bytes, trickle: bool) -> tuple[str, float]:
    """Status of the answer, or how the connection ended; and the seconds until then."""
    began = time.perf_counter()
    answer = b''
    with socket.create_connection(server.address, timeout=120) as connection:
        try:
            connection.sendall(data)
            while trickle:
                connection.settimeout(0.3)
                try:
                    answer = connection.recv(65536)
                    break
                except TimeoutError:
                    connection.sendall(b'x')
            connection.settimeout(120)
            if not trickle:
                connection.shutdown(socket.SHUT_WR) if data.startswith(b'\x16') else None
            while chunk := connection.recv(65536):
                answer += chunk
        except TimeoutError:
            return 'no answer', time.perf_counter() - began
        except OSError:  # the server closed while we were sending; what it said may be lost
            pass
    seconds = time.perf_counter() - began
    if not answer:
        return 'closed', seconds
    head, _, body = answer.partition(b'\r\n\r\n')
    status = head.split()[1].decode()
    if status >= '400' and b'application/json' in head.lower():
        told = json.loads(body)
        assert list(told) == ['error'] and '\n' not in told['error'], told
    return status, seconds


def main() -> None:
    """Measure and print; JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--share', type=float, default=1.0, help='of the requests')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=output_file, help='JSON file')
    args = parser.parse_args()
    rng = random.Random(args.seed)
    jobs = [
        (kind, make(rng)) for kind, (make, number) in KINDS.items() for _ in range(max(1, round(number * args.share)))
    ]
    rng.shuffle(jobs)
    server = Server('--body-seconds', str(BODY_SECONDS))
    honest = form(PHOTO, classes='cat . sofa')
    expected = essence(server.ask('POST', '/v1/tasks/panoptic', *honest)[1])
    before = server.memory()
    statuses: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    longest: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    faults: list[str] = []
    left, lock, done = iter(jobs), threading.Lock(), [0]

    def work() -> None:
        while True:
            with lock:
                kind, data = next(left, ('', b''))
            if not kind:
                return
            try:
                status, seconds = send(server, data, kind == 'slow requests')
            except Exception as error:  # whatever it is, it is a result
                status, seconds = f'{type(error).__name__}: {error}', 0.0
            with lock:
                statuses[kind][status] += 1
                longest[kind] = max(longest[kind], seconds)
                done[0] += 1
                number = done[0]
                if status not in ('closed', '200', '201') and not status.startswith('4') and status != '503':
                    faults.append(f'{kind}: {status}: {data[:300]!r}')
            if number % 100 == 0:
                code, answer = server.ask('POST', '/v1/tasks/panoptic', *honest)
                if code == 429:
                    continue
                if code != 200 or essence(answer) != expected:
                    faults.append(f'honest request after {number}: {code} {answer[:200]!r}')
                print(f'{number} done, honest request answered, {server.memory():.0f} MB', flush=True)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = server.memory()
    code, answer = server.ask('POST', '/v1/tasks/panoptic', *honest)
    answers = code == 200 and essence(answer) == expected
    rows = [
        dict(
            kind=kind,
            requests=sum(found.values()),
            statuses=dict(sorted(found.items())),
            longest_s=round(longest[kind], 1),
        )
        for kind, found in statuses.items()
    ]
    for row in rows:
        print(row)
    summary = dict(
        answers_after=answers,
        faults=len(faults),
        before_mb=round(before),
        after_mb=round(after),
        exit_code=server.stop(),
    )
    print('\n'.join(faults[:20]))
    print(summary)
    if args.out:
        write_json(args.out, dict(rows=rows, **summary), indent=2)


if __name__ == '__main__':
    main()
