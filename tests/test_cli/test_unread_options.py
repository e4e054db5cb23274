"""An option that nothing reads is refused in one line, which names it, before any work is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny.annotated import make_set

from xdet.cli.main import main
from xdet.datasets.exchange import write_annotations

REFUSED = [
    ('convert DATA --to voc OUT --seed 1', '--seed says how images are divided'),
    ('convert DATA --to voc OUT --group-by folder', '--group-by says how images are divided'),
    ('convert DATA --to coco OUT.json --no-copy-images', '--copy-images is for a folder'),
    ('convert DATA --to voc OUT --names a b', '--names is for files that may have numbers alone; coco has names'),
    ('convert DATA --to voc OUT --of DATA', '--of says which file coco-results are of; DATA is coco'),
    ('data check DATA --of DATA', '--of says which file coco-results are of; DATA is coco'),
    ('data check DATA --json --all', '--all is for people; --json prints everything'),
    ('data split DATA --images DATA', '--images is not read here: a COCO JSON is divided as it is'),
    ('data split DATA --no-copy-images', '--copy-images is not read here'),
    ('data split DATA OUT --from coco-panoptic --overwrite', '--overwrite is for a COCO JSON'),
    ('predict IMAGE --task caption --text-embeddings x', "--text-embeddings is for class names, which task 'caption'"),
    ('predict IMAGE --task caption --calibration x', '--calibration is for thresholds of presence'),
    ('predict IMAGE --no-save-vis --color-by class', '--color-by is about images, which --no-save-vis leaves out'),
    ('predict IMAGE --no-save-pred --polygons', '--polygons adds to results, which --no-save-pred leaves out'),
    (
        'predict IMAGE --task vqa --questions x --pred-score-thr 0.5',
        "'vqa' does not take pred_score_thr; instance, panop",
    ),
    ('predict IMAGE --task semantic --max-per-image 2', "task 'semantic' does not take max_per_image; instance does"),
    ('predict IMAGE --calibration x --presence 0.5', '--calibration is for a threshold of presence, which --presence'),
    ('video IMAGE OUT.mp4 --task refseg --phrases x --text-embeddings x', '--text-embeddings is for class names'),
    ('video IMAGE OUT.jsonl --no-save-pred', '--no-save-pred leaves nothing to write; OUT is out.jsonl'),
    (
        'bulk IMAGE --out-dir OUT --image-column jpg',
        '--image-column is for Parquet files, and no image ends in .parquet',
    ),
    ('bulk IMAGE --out-dir OUT --gpus 1', '--gpus is for workers on Ray; say how many by --workers'),
    ('index IMAGE --index OUT --texts --batch-size 2', '--batch-size is for images'),
    ('search --index OUT --text a --batch-size 2', '--batch-size is for a COLLECTION to be embedded'),
    ('label-studio --train-iters 3', '--train-iters is for a training, which --train-dir allows'),
    ('tune DATA OUT.safetensors --name a --learn templates --tokens 3', '--tokens is for --learn tokens'),
    ('calibrate DATA --seed 1', '--seed is for --holdout and for phrases'),
    ('suite --list --force', '--force is not read with --list'),
    ('suite a b --check --num-workers 2', '--num-workers is for a run, and --check runs nothing'),
    ('suite a b --check --skip-missing', '--skip-missing is for a run, and --check runs nothing'),
    ('download ade20k --delete', '--delete is for archives after they were extracted'),
]


@pytest.mark.parametrize(('line', 'told'), REFUSED, ids=[line for line, _ in REFUSED])
def test_refused(line: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = make_set(tmp_path / 'pictures', ('',))
    write_annotations(data, 'coco', tmp_path / 'in')
    places = dict(DATA=tmp_path / 'in' / 'instances.json', IMAGE=tmp_path / 'in' / 'images', OUT=tmp_path / 'out')
    words = [str(places.get(word, word)).replace('OUT', str(places['OUT'])) for word in line.split()]
    try:
        code = main(words)
    except SystemExit as ended:
        code = ended.code
    last = capsys.readouterr().err.splitlines()[-1]
    assert code == 2 and told.replace('DATA', str(places['DATA'])) in last
    assert not list(tmp_path.glob('out*'))
