"""The runtime works where nothing of the toolkit's requirements is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = (
    *('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'cv2', 'open_clip', 'timm', 'pycocotools', 'rich', 'scipy'),
    *('safetensors', 'matplotlib', 'transformers', 'tokenizers', 'onnx', 'onnxscript'),
)
PROGRAM = """
import json, sys, time
for name in sys.argv[1].split():
    sys.modules[name] = None
import xdet.runtime
started = time.process_time()
inferencer = xdet.runtime.OnnxInferencer(sys.argv[2], threads=1)
results = [inferencer(sys.argv[3], 'panoptic', things='dog', stuff='sky', show_progress=False)]
results.append(inferencer(sys.argv[3], 'refcaption', boxes=[[1, 2, 9, 8]], max_tokens=3))
foreign = [name for name in sys.argv[1].split() if sys.modules.get(name) is not None]
print(json.dumps(dict(seconds=started, foreign=foreign, results=results)))
"""


def test_without_torch(exported: Path, tmp_path: Path) -> None:
    from xdet.runtime import OnnxInferencer

    path = tmp_path / 'image.png'
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    command = [sys.executable, '-c', PROGRAM, ' '.join(BLOCKED), str(exported), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert not found['foreign']
    assert found['seconds'] < 0.5, 'importing takes processor time that a short program notices'
    here = OnnxInferencer(exported, threads=1)(path, 'panoptic', things='dog', stuff='sky')
    assert found['results'][0] == json.loads(json.dumps(here))


def test_without_onnxruntime(exported: Path) -> None:
    program = f"""
import sys
sys.modules['onnxruntime'] = None
from xdet.runtime import OnnxInferencer
try:
    OnnxInferencer({str(exported)!r})
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.stdout.startswith('running exported models needs onnxruntime')
    assert done.stdout.strip().endswith('; pip install "xdet[runtime]"')
