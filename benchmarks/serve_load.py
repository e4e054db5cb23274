"""How many requests `xdet serve` answers, how fast, and whether its memory stays where it is.

    python benchmarks/serve_load.py --out serve_load.json

Starts the server with the default model on a free port of this machine. Then clients, 1, 8 and 32 of them, ask at the
same time: for segments of a photograph that they send, and about a photograph that the server keeps. At last 2,000
requests go through it, every 25th with a new photograph, and the memory of the server is read in between. Every
answer is compared with the one that `XDecoderInferencer` gives: nothing may be lost or exchanged.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from xdet.cli.places import output_file
from xdet.io.writing import write_json

PHOTOS = ('chelsea', 'astronaut', 'coffee')
FOLDER = Path(__file__).resolve().parents[1] / 'demo' / 'photos'
NAMES = ['cat', 'person', 'bottle', 'sofa']


class Server:
    """`xdet serve` as a process of its own."""

    def __init__(self, *arguments: str, python: str = sys.executable) -> None:
        self.process = subprocess.Popen(
            [python, '-m', 'xdet', 'serve', '--port', '0', *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r'http://([^:]+):(\d+)', line)
        if found is None:
            raise RuntimeError(f'the server did not start: {line!r}')
        self.address = found[1], int(found[2])
        while True:
            try:
                self.ask('GET', '/readyz')
                return
            except OSError:  # it does not listen yet
                time.sleep(0.1)

    def ask(self, method: str, path: str, body: bytes = b'', kind: str = 'application/json') -> tuple[int, bytes]:
        """Status and body of an answer, on a connection of its own."""
        connection = http.client.HTTPConnection(*self.address, timeout=300)
        try:
            connection.request(method, path, body, {'Content-Type': kind} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def memory(self) -> float:
        """Of the process, in MB."""
        text = self.ask('GET', '/metrics')[1].decode()
        (value,) = re.findall(r'^process_resident_memory_bytes (\S+)$', text, re.MULTILINE)
        return float(value) / 1e6

    def stop(self) -> int:
        """Exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


def form(photo: bytes, **fields: str) -> tuple[bytes, str]:
    """Body and content type of a form with an image."""
    parts = [b'--part\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n' + photo + b'\r\n']
    for name, value in fields.items():
        parts.append(f'--part\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    return b''.join([*parts, b'--part--\r\n']), 'multipart/form-data; boundary=part'


def essence(answer: bytes) -> Any:
    """What an answer says about its image."""
    result = json.loads(answer)
    return (
        [(row['name'], round(row['score'], 3)) for row in result['top_classes']]
        if 'top_classes' in result
        else [(segment['name'], segment['area']) for segment in result['segments']]
    )


def together(server: Server, clients: int, jobs: list[dict], expected: list[Any]) -> dict[str, Any]:
    """Let clients work off jobs; how long they took, and what came wrong or not at all."""
    seconds: list[float] = []
    wrong: list[str] = []
    left = iter(list(enumerate(jobs)))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number, job = next(left, (-1, {}))
            if number < 0:
                return
            began = time.perf_counter()
            status = 429
            while status == 429:  # a full queue says: later
                status, answer = server.ask('POST', **job)
                if status == 429:
                    time.sleep(0.2)
            seconds.append(time.perf_counter() - began)
            if status != 200 or essence(answer) != expected[number]:
                wrong.append(f'request {number}: {status} {answer[:200]!r}')

    threads = [threading.Thread(target=work) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    seconds.sort()
    if wrong:
        print('\n'.join(wrong[:5]), file=sys.stderr)
    return dict(
        clients=clients,
        requests=len(jobs),
        per_second=round(len(jobs) / took, 2),
        p50_s=round(seconds[len(seconds) // 2], 3),
        p99_s=round(seconds[min(int(len(seconds) * 0.99), len(seconds) - 1)], 3),
        wrong_or_lost=len(wrong) + len(jobs) - len(seconds),
    )


def main() -> None:
    """Measure and print; JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=32, help='requests with a photograph per number of clients')
    parser.add_argument('--kept', type=int, default=96, help='requests about a kept photograph, likewise')
    parser.add_argument('--requests', type=int, default=2000, help='requests while memory is watched')
    parser.add_argument('--batch-size', type=int, default=1, help='of the server')
    parser.add_argument('--out', type=output_file, help='JSON file')
    args = parser.parse_args()
    photos = [(FOLDER / f'{name}.jpg').read_bytes() for name in PHOTOS]
    server = Server('--batch-size', str(args.batch_size))
    sent = [
        dict(zip(('body', 'kind'), form(photo, classes=' . '.join(NAMES)), strict=True), path='/v1/tasks/panoptic')
        for photo in photos
    ]
    answers = [essence(server.ask('POST', **job)[1]) for job in sent]
    rows = []
    for clients in (1, 8, 32):
        jobs = [sent[number % len(sent)] for number in range(args.images)]
        expected = [answers[number % len(sent)] for number in range(args.images)]
        rows.append(dict(kind='photograph sent', **together(server, clients, jobs, expected)))
        print(rows[-1], flush=True)

    kept, kept_answers = [], []
    for photo in photos:
        handle = json.loads(server.ask('POST', '/v1/images', *form(photo))[1])['handle']
        job = dict(path='/v1/tasks/classification', body=json.dumps(dict(handle=handle, classes=NAMES)).encode())
        kept.append(job)
        kept_answers.append(essence(server.ask('POST', **job)[1]))
    for clients in (1, 8, 32):
        jobs = [kept[number % len(kept)] for number in range(args.kept)]
        expected = [kept_answers[number % len(kept)] for number in range(args.kept)]
        rows.append(dict(kind='photograph kept', **together(server, clients, jobs, expected)))
        print(rows[-1], flush=True)

    memory = [server.memory()]
    for _ in range(10):
        jobs, expected = [], []
        for number in range(args.requests // 10):
            among = sent if number % 25 == 0 else kept
            jobs.append(among[number % 3])
            expected.append((answers if among is sent else kept_answers)[number % 3])
        row = together(server, 8, jobs, expected)
        memory.append(server.memory())
        rows.append(dict(kind='mixed', memory_mb=round(memory[-1]), **row))
        print(rows[-1], flush=True)
    code = server.stop()
    growth = dict(first_mb=round(memory[0]), middle_mb=round(memory[5]), last_mb=round(memory[-1]), exit_code=code)
    print(growth)
    if args.out:
        write_json(args.out, dict(rows=rows, memory=growth), indent=2)


if __name__ == '__main__':
    main()
