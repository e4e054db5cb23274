"""Download a data set from where its authors publish it.

    python tools/misc/download_dataset.py --list
    python tools/misc/download_dataset.py voc2012 --dry-run
    python tools/misc/download_dataset.py voc2012 --save-dir data --unzip

Nothing is downloaded unless it is named. You need the right to use what you download: every data set has terms of its
own, whose address is shown. Data sets that must be asked for, or need an account, are not downloaded; the program says
where to ask. An interrupted download goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.cli.running import run_program
from xdet.io.errors import cause
from xdet.io.locking import locked
from xdet.io.terminal import tell

_COCO = 'http://images.cocodataset.org'
_REFER = 'https://bvisionweb1.cs.unc.edu/licheng/referit/data'
_REFER_NEXT = 'python tools/dataset_converters/refer_to_json.py, into data/coco/annotations'
_VOC = 'http://host.robots.ox.ac.uk/pascal/VOC'
_VQA = 'https://s3.amazonaws.com/cvmlp/vqa/mscoco/vqa'
_CHUNK = 1 << 20
_TIMEOUT = 60  # seconds without an answer or data


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        terms (str): Address of its terms of use.
        folder (str): Where its files belong, below the data folder.
        urls (tuple[str, ...]): Archives; empty for what must be asked for.
        md5 (tuple[str, ...]): Check sums of the first archives, where they are known.
        then (str): What is left to do.
        use (str): Benchmarks that need it, or what else it is for.
    """

    terms: str
    folder: str
    urls: tuple[str, ...] = ()
    md5: tuple[str, ...] = ()
    then: str = ''
    use: str = ''


def _coco(year: str, *archives: str) -> tuple[str, ...]:
    names = {'images': f'zips/val{year}.zip', 'train': f'zips/train{year}.zip'}
    return tuple(f'{_COCO}/{names.get(name, f"annotations/{name}_trainval{year}.zip")}' for name in archives)


SOURCES = {
    'coco2017': Source(
        'https://cocodataset.org/#termsofuse',
        'coco',
        _coco('2017', 'train', 'images', 'annotations', 'panoptic_annotations'),
        then='unzip annotations/panoptic_*2017.zip inside of data/coco as well',
        use='training',
    ),
    'coco2017-val': Source(
        'https://cocodataset.org/#termsofuse',
        'coco',
        _coco('2017', 'images', 'annotations', 'panoptic_annotations'),
        then='unzip annotations/panoptic_val2017.zip inside of data/coco as well',
        use='`coco-2017`',
    ),
    'coco2014': Source(
        'https://cocodataset.org/#termsofuse',
        'coco',
        _coco('2014', 'train', 'images', 'annotations'),
        use='`coco-karpathy`, `vqav2`',
    ),
    'ade20k': Source(
        'https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/',
        '',
        ('http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip',),
        then='ade20k-instances has the instances',
        use='`ade20k-150`',
    ),
    'ade20k-instances': Source(
        'https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/',
        'ADEChallengeData2016',
        ('http://sceneparsing.csail.mit.edu/data/ChallengeData2017/annotations_instance.tar',),
        then='python tools/dataset_converters/ade20k.py data/ADEChallengeData2016',
        use='`ade20k-150`',
    ),
    'voc2012': Source(
        f'{_VOC}/voc2012/index.html',
        '',
        (f'{_VOC}/voc2012/VOCtrainval_11-May-2012.tar',),
        ('6cd6e144f989b92b3379bac3b3de84fd',),
        use='`voc-20`',
    ),
    'voc2010': Source(
        f'{_VOC}/voc2010/index.html',
        '',
        (f'{_VOC}/voc2010/VOCtrainval_03-May-2010.tar',),
        ('da459979d0c395079b5c75ee67908abb',),
        then='pascal-context has the labels',
        use='`context-59`, `context-459`',
    ),
    'pascal-context': Source(
        'https://cs.stanford.edu/~roozbeh/pascal-context/',
        'VOCdevkit/VOC2010',
        ('https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz',),
        then='python tools/dataset_converters/pascal_context.py data/VOCdevkit/VOC2010',
        use='`context-59`, `context-459`',
    ),
    'sunrgbd': Source(
        'https://rgbd.cs.princeton.edu/',
        'sunrgbd',
        (
            'http://www.doc.ic.ac.uk/~ahanda/SUNRGBD-test_images.tgz',
            'https://github.com/ankurhanda/sunrgbd-meta-data/raw/master/sunrgbd_train_test_labels.tar.gz',
        ),
        then='python tools/dataset_converters/sunrgbd.py data/sunrgbd',
        use='`sunrgbd-37`',
    ),
    'seginw': Source(
        'https://eval.ai/web/challenges/challenge-page/1931/overview',
        '',
        ('https://huggingface.co/sam-hq-team/SegInW/resolve/main/seginw.zip',),
        then='python tools/dataset_converters/seginw.py data/seginw',
        use='`seginw-*`',
    ),
    'refcoco': Source(
        'https://github.com/lichengunc/refer', 'refer', (f'{_REFER}/refcoco.zip',), then=_REFER_NEXT, use='`refcoco-*`'
    ),
    'refcoco+': Source(
        'https://github.com/lichengunc/refer',
        'refer',
        (f'{_REFER}/refcoco+.zip',),
        then=_REFER_NEXT,
        use='`refcoco+-*`',
    ),
    'refcocog': Source(
        'https://github.com/lichengunc/refer',
        'refer',
        (f'{_REFER}/refcocog.zip',),
        then=_REFER_NEXT,
        use='`refcocog-*`',
    ),
    'karpathy': Source(
        'https://cs.stanford.edu/people/karpathy/deepimagesent/',
        'karpathy',
        ('https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip',),
        then='move dataset_coco.json into data/coco/annotations and dataset_flickr30k.json into data/flickr30k',
        use='`coco-karpathy`, `flickr30k-karpathy`',
    ),
    'vqav2': Source(
        'https://visualqa.org/terms.html',
        'coco/vqa',
        (f'{_VQA}/v2_Questions_Val_mscoco.zip', f'{_VQA}/v2_Annotations_Val_mscoco.zip'),
        use='`vqav2`',
    ),
    'ade20k-full': Source(
        'https://groups.csail.mit.edu/vision/datasets/ADE20K/',
        'ADE20K_2021_17_01',
        then='python tools/dataset_converters/ade20k_full.py data/ADE20K_2021_17_01',
        use='`ade20k-847`',
    ),
    'bdd100k': Source(
        'https://bdd-data.berkeley.edu/',
        'bdd100k',
        then='python tools/dataset_converters/bdd100k.py data/bdd100k',
        use='`bdd100k-*`',
    ),
    'cityscapes': Source(
        'https://www.cityscapes-dataset.com/login/',
        'cityscapes',
        then='python tools/dataset_converters/cityscapes.py data/cityscapes',
        use='`cityscapes`',
    ),
    'flickr30k': Source('https://shannon.cs.illinois.edu/DenotationGraph/', 'flickr30k', use='`flickr30k-karpathy`'),
    'phrasecut': Source('https://github.com/ChenyunWu/PhraseCutDataset', 'phrasecut', use='`phrasecut`'),
    'scannet': Source(
        'https://github.com/ScanNet/ScanNet#scannet-data',
        'scannet',
        then='ask for scannet_frames_25k.zip; then python tools/dataset_converters/scannet.py',
        use='`scannet-*`',
    ),
}


def download(url: str, path: Path) -> None:
    """Write the file at ``url`` to ``path``; what an earlier attempt left in ``path.part`` is not loaded again.

    A file that has changed on the server meanwhile is loaded from its beginning.

    Raises:
        OSError: The server does not answer, or the file does not arrive completely.
    """
    part, version = (path.with_name(f'{path.name}{suffix}') for suffix in ('.part', '.part.version'))
    part.parent.mkdir(parents=True, exist_ok=True)
    done = part.stat().st_size if part.exists() else 0
    headers = {'Range': f'bytes={done}-'} if done else {}
    if done and version.exists():
        headers['If-Range'] = version.read_text(encoding='latin-1').strip()
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not done:
            raise
        # Nothing is left to load, unless what is there is of another file.
        if error.headers.get('Content-Range', '').rpartition('/')[2] == str(done):
            part.rename(path)
            version.unlink(missing_ok=True)
        else:
            part.unlink()
            download(url, path)
        return
    etag = answer.headers.get('ETag', '')
    version_now = etag if etag and not etag.startswith('W/') else answer.headers.get('Last-Modified', '')
    version.unlink(missing_ok=True)
    if version_now:
        version.write_text(version_now, encoding='latin-1')
    resumed = answer.status == 206
    done = done if resumed else 0
    total = done + int(answer.headers['Content-Length']) if answer.headers.get('Content-Length') else None
    columns = TextColumn('{task.description}'), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with answer, part.open('ab' if resumed else 'wb') as file, Progress(*columns) as progress:
        task = progress.add_task(path.name, total=total, completed=done)
        while chunk := answer.read(_CHUNK):
            file.write(chunk)
            progress.advance(task, len(chunk))
    if total is not None and part.stat().st_size != total:
        raise OSError(f'{path.name}: {part.stat().st_size} of {total} bytes arrived; start again to go on')
    part.rename(path)
    version.unlink(missing_ok=True)


def check(path: Path, md5: str) -> None:
    """Compare a file with its check sum.

    Raises:
        ValueError: They differ.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with path.open('rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != md5:
        raise ValueError(f'{path}: MD5 is {digest.hexdigest()}, expected {md5}; delete the file and start again')


def unpack(path: Path) -> None:
    """Extract an archive beside itself; nothing is written outside of that folder."""
    tell(f'extracting {path}')
    try:
        if path.suffix == '.zip':
            with zipfile.ZipFile(path) as archive:
                archive.extractall(path.parent)
        else:
            with tarfile.open(path) as archive:
                archive.extractall(path.parent, filter='data')
    except (EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
        raise ValueError(f'{path} is damaged ({cause(error)}); delete the file and start again') from error


def fetch(name: str, save_dir: Path, dry_run: bool, unzip: bool, delete: bool) -> None:
    """Download a data set.

    Raises:
        ValueError: It must be asked for, or an archive is damaged.
        OSError: A download failed.
    """
    source = SOURCES[name]
    if not source.urls:
        raise ValueError(f'{name} must be asked for at {source.terms}. It belongs into {save_dir / source.folder}')
    tell(f'{name}: by downloading you accept the terms at {source.terms}')
    for index, url in enumerate(source.urls):
        path = save_dir / source.folder / url.rsplit('/', 1)[-1]
        state = 'is there' if path.exists() else 'to be downloaded'
        tell(f'  {url} -> {path} ({state})')
        if dry_run:
            continue
        if not path.exists():
            lock = path.with_name('.download.lock')
            try:
                with locked(lock, wait=False):
                    download(url, path)
                lock.unlink(missing_ok=True)
            except BlockingIOError:
                raise OSError(f'another process downloads into {path.parent}; wait until that has ended') from None
        if index < len(source.md5):
            check(path, source.md5[index])
        if unzip:
            unpack(path)
            if delete:
                path.unlink()
    if source.then:
        tell(f'next: {source.then}')


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('names', nargs='*', metavar='NAME', help='data sets, see --list')
    parser.add_argument('--dataset-name', action='append', default=[], help='another way to name one, as in mmdet')
    parser.add_argument('--save-dir', type=output_folder, default='data', help='the data folder (default: data)')
    parser.add_argument('--unzip', action='store_true', help='extract the archives')
    parser.add_argument('--delete', action='store_true', help='delete archives after they were extracted')
    parser.add_argument('--dry-run', action='store_true', help='only say what would be downloaded, from where and to')
    parser.add_argument('--list', action='store_true', help='list the data sets')
    args = parser.parse_args()
    args.names += args.dataset_name
    unknown = [name for name in args.names if name not in SOURCES]
    if unknown:
        parser.error(f"data set '{unknown[0]}' is unknown; known are {', '.join(SOURCES)}")
    if args.delete and not args.unzip:
        parser.error('--delete is for archives after they were extracted; give --unzip, too')
    if not args.names and not args.list:
        parser.error('name a data set, or --list them')
    return args


def main() -> None:
    args = parse_args()
    if args.list:
        for name, source in SOURCES.items():
            tell(f'{name:<16}{"download" if source.urls else "on request":<12}{source.terms}')
    for name in args.names:
        try:
            fetch(name, args.save_dir, args.dry_run, args.unzip, args.delete)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise SystemExit(f'error: {name}: {cause(error)}') from None


if __name__ == '__main__':
    sys.exit(run_program(main))
