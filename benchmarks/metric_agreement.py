"""How far our metrics are from independent implementations, on random predictions.

python benchmarks/metric_agreement.py

Needs what requirements/tests.txt lists; a comparison whose package is missing is skipped. docs/metrics.md holds a table
of the results.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch
from pycocotools import mask as mask_util

from xdet.evaluation import InstanceAP, PanopticQuality, ReferringIoU, RetrievalRecall, SemanticIoU
from xdet.evaluation.captions.scores import bleu, cider_d_scores, rouge_l
from xdet.evaluation.captions.tokens import ptb_tokens, simple_tokens, why_no_ptb
from xdet.evaluation.panoptic_quality import ClassCounts
from xdet.structures import Vocabulary

VOCABULARY = Vocabulary(('person', 'car', 'dog', 'sky', 'road'), (True, True, True, False, False))
META = dict(vocabulary=VOCABULARY, classes=VOCABULARY.names)
SIZE = (48, 64)
WORDS = "a dog on the red t-shirt of man's two cats don't run grass (blue) sky 3.5 cars".split()


def random_samples(count: int, seed: int = 0, crowds: bool = False) -> list[dict]:
    """Images with ground truth for every metric and predictions that are partly right.

    Args:
        count (int): Number of images; half of the images have void.
        seed (int): Seed of everything.
        crowds (bool): Whether some things are crowds.
    """
    generator = np.random.default_rng(seed)
    return [_random_sample(generator, index, crowds) for index in range(count)]


def _random_sample(generator: np.random.Generator, index: int, crowds: bool) -> dict:
    gt = np.kron(generator.integers(index % 2, 8, (4, 4)), np.ones((SIZE[0] // 4, SIZE[1] // 4), int))
    pred = np.where(generator.random(SIZE) < 0.15, generator.integers(0, 8, SIZE), np.roll(gt, 1 + index % 3, 1))
    gt_segments = _random_segments(generator, gt, crowds)
    own = {segment['id']: segment['label'] for segment in gt_segments}
    pred_segments = _random_segments(generator, pred, False, own)
    sample = dict(img_id=index + 1, img_path=f'{index + 1}.jpg', ori_shape=SIZE)
    sample.update(_segmentation('gt', gt, gt_segments), **_segmentation('pred', pred, pred_segments))
    things = [segment for segment in pred_segments if VOCABULARY.is_thing[segment['label']]]
    masks = torch.from_numpy(np.stack([pred == segment['id'] for segment in things] or [np.zeros(SIZE, bool)] * 0))
    masks = masks.reshape(-1, *SIZE)
    sample['pred_instances'] = dict(
        masks=masks,
        labels=torch.tensor([segment['label'] for segment in things], dtype=torch.int64),
        scores=torch.from_numpy(generator.random(len(things))).float(),
        bboxes=torch.tensor([_box(mask) for mask in masks.numpy()]).reshape(-1, 4),
    )
    phrases = torch.from_numpy(generator.random((3, 8, 8)) < 0.5)
    flipped = torch.from_numpy(generator.random((3, 8, 8)) < np.array([0.0, 0.2, 0.5])[:, None, None])
    sample.update(gt_phrases=dict(masks=phrases), pred_phrases=dict(masks=phrases ^ flipped))
    texts = [' '.join(generator.choice(WORDS, generator.integers(3, 9))) for _ in range(4)]
    texts[0] = ' '.join(texts[1].split()[:5] + texts[0].split()[:2])
    sample.update(pred_captions=[dict(text=texts[0], score=0.0)], captions=texts[1:])
    sample.update(pred_region_captions=[[dict(text=text)] for text in texts[:2]], region_captions=texts[1:3])
    image, noise = generator.normal(size=(2, 16)), generator.normal(size=(1 + index % 3, 16))
    embeddings = [torch.from_numpy(rows).float() for rows in (image, image.mean(0) + 0.8 * noise)]
    sample.update(zip(('pred_embedding', 'pred_text_embeddings'), map(_unit, embeddings), strict=True))
    answers = [str(generator.integers(0, 3)) for _ in range(2)]
    sample.update(pred_answers=[[dict(answer=answer)] for answer in answers], answers=[{'0': 1.0}, {'1': 0.6}])
    return sample


def _random_segments(generator: np.random.Generator, ids: np.ndarray, crowds: bool, own: dict | None = None) -> list:
    """Segments of a map: any number of things, at most one of every stuff class, half with the label in ``own``."""
    segments, stuff = [], set()
    for segment_id in np.unique(ids[ids > 0]).tolist():
        label = int(generator.integers(0, len(VOCABULARY)))
        if own and generator.random() < 0.7:
            label = own.get(segment_id, label)
        if label in stuff:
            label = 0
        if not VOCABULARY.is_thing[label]:
            stuff.add(label)
        crowd = crowds and VOCABULARY.is_thing[label] and generator.random() < 0.3
        segments.append(dict(id=segment_id, label=label, iscrowd=bool(crowd)))
    return segments


def _segmentation(side: str, ids: np.ndarray, segments: list[dict]) -> dict:
    labels = np.full(SIZE, -1)
    for segment in segments:
        labels[ids == segment['id']] = segment['label']
    return {
        f'{side}_sem_seg': dict(sem_seg=torch.from_numpy(labels)[None]),
        f'{side}_panoptic_seg': dict(sem_seg=torch.from_numpy(ids.astype(np.int32))[None], segments_info=segments),
    }


def _box(mask: np.ndarray) -> list[float]:
    x, y, width, height = mask_util.toBbox(mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))).tolist()
    return [x, y, x + width, y + height]


def _unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


def write_instances(samples: list[dict], path: Path) -> str:
    """COCO annotation file of the things of all samples; returns its path."""
    annotations = []
    for sample in samples:
        gt = sample['gt_panoptic_seg']
        for segment in gt['segments_info']:
            if not VOCABULARY.is_thing[segment['label']]:
                continue
            mask = (gt['sem_seg'][0] == segment['id']).numpy()
            rle = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
            x1, y1, x2, y2 = _box(mask)
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=sample['img_id'],
                    category_id=10 * (segment['label'] + 1),
                    segmentation=dict(rle, counts=rle['counts'].decode()),
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=int(mask.sum()),
                    iscrowd=int(segment['iscrowd']),
                )
            )
    images = [dict(id=sample['img_id'], height=SIZE[0], width=SIZE[1]) for sample in samples]
    categories = [dict(id=10 * (label + 1), name=VOCABULARY.names[label]) for label in range(3)]
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return str(path)


def evaluate(metric, samples: list[dict]) -> dict[str, float]:
    """Values of a metric, without its prefix."""
    metric.dataset_meta = META
    metric.process(None, samples)
    return {name.partition('/')[2]: value for name, value in metric.evaluate(len(samples)).items()}


def largest(ours: dict[str, float], theirs: dict[str, float]) -> float:
    """Largest difference of the values that ``theirs`` names."""
    return max(abs(ours[name] - float(value)) for name, value in theirs.items())


# ------------------------------------------------------------------------------------------------------- comparisons


def panoptic_torchmetrics() -> float:
    """PQ, SQ and RQ of every class against torchmetrics: void in ground truth, no crowds, no void in predictions.

    torchmetrics forgives pixels that are void in the prediction, panopticapi does not.
    """
    from torchmetrics.detection import PanopticQuality as Reference

    samples = random_samples(30)
    for sample in samples:
        _fill_void(sample)
    reference = Reference({0, 1, 2}, {3, 4}, return_sq_and_rq=True, return_per_class=True)
    pairs = []
    for side in ('pred', 'gt'):
        labels = torch.stack([sample[f'{side}_sem_seg']['sem_seg'][0] for sample in samples])
        ids = torch.stack([sample[f'{side}_panoptic_seg']['sem_seg'][0] for sample in samples])
        pairs.append(torch.stack([torch.where(labels < 0, 99, labels), ids], -1))
    reference.update(*pairs)
    values = reference.compute()
    order = [VOCABULARY.names[label] for label in (*reference.things, *reference.stuffs)]
    theirs = {f'PQ_{name}': 100 * value[0] for name, value in zip(order, values, strict=True)}
    theirs.update({name: 100 * value for name, value in zip(('PQ', 'SQ', 'RQ'), values.mean(0), strict=True)})
    return largest(evaluate(PanopticQuality(classwise=True), samples), theirs)


def _fill_void(sample: dict) -> None:
    """Make a car of all pixels that have no predicted segment."""
    seg, labels = sample['pred_panoptic_seg'], sample['pred_sem_seg']['sem_seg']
    if (seg['sem_seg'] == 0).any():
        seg['segments_info'].append(dict(id=9, label=1))
        labels[seg['sem_seg'] == 0] = 1
        seg['sem_seg'][seg['sem_seg'] == 0] = 9


def panoptic_mmdet() -> float:
    """Sums of every class against mmdet's copy of COCO's panopticapi, with void and crowds."""
    import mmdet.evaluation.functional.panoptic_utils as reference

    samples = random_samples(30, crowds=True)
    with tempfile.TemporaryDirectory() as folder:
        pairs = [[_write_segments(sample, side, folder) for side in ('gt', 'pred')] for sample in samples]
        # What the missing package supplies: the sums, and how colours encode ids.
        parts = dict(PQStat=lambda: defaultdict(ClassCounts), rgb2id=lambda rgb: rgb[..., 0].astype(np.uint32))
        with mock.patch.multiple(reference, **parts):
            theirs = reference.pq_compute_single_core(0, pairs, folder, folder, range(len(VOCABULARY)))
    metric = PanopticQuality()
    metric.dataset_meta = META
    metric.process(None, samples)
    ours: dict[int, ClassCounts] = defaultdict(ClassCounts)
    for image in metric.results:
        for label, counts in image.items():
            ours[label] += counts
    return max(
        abs(getattr(ours[label], name) - getattr(theirs[label], name))
        for label in range(len(VOCABULARY))
        for name in ('iou', 'tp', 'fp', 'fn')
    )


def _write_segments(sample: dict, side: str, folder: str) -> dict:
    """Write segment ids as a picture; returns their description in COCO's panoptic format."""
    seg, name = sample[f'{side}_panoptic_seg'], f'{side}{sample["img_id"]}.png'
    ids = seg['sem_seg'][0].numpy().astype(np.uint8)
    cv2.imwrite(f'{folder}/{name}', np.stack([0 * ids, 0 * ids, ids], -1))  # blue, green, red
    segments = [
        dict(id=own['id'], category_id=own['label'], iscrowd=int(own['iscrowd']), area=int((ids == own['id']).sum()))
        for own in seg['segments_info']
    ]
    return dict(file_name=name, image_id=sample['img_id'], segments_info=segments)


def instance_pycocotools() -> float:
    """Mask and box AP against pycocotools' own summary of a result file."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    samples = random_samples(30, crowds=True)
    theirs = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = write_instances(samples, Path(folder) / 'instances.json')
        ours = evaluate(InstanceAP(path), samples)
        annotations = COCO(path)
        for kind, prefix in (('segm', ''), ('bbox', 'box_')):
            rows = [row for sample in samples for row in _result_rows(sample, kind)]
            (Path(folder) / 'results.json').write_text(json.dumps(rows))
            reference = COCOeval(annotations, annotations.loadRes(f'{folder}/results.json'), kind)
            reference.evaluate(), reference.accumulate(), reference.summarize()
            values = zip(('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl'), reference.stats[:6], strict=True)
            theirs.update({prefix + name: 100 * value for name, value in values if value >= 0})
    return largest(ours, theirs)


def _result_rows(sample: dict, kind: str) -> list[dict]:
    """Predictions of an image in COCO's result format."""
    pred, rows = sample['pred_instances'], []
    for index in range(len(pred['scores'])):
        x1, y1, x2, y2 = pred['bboxes'][index].tolist()
        place = dict(bbox=[x1, y1, x2 - x1, y2 - y1])
        if kind == 'segm':
            rle = mask_util.encode(np.asfortranarray(pred['masks'][index].numpy().astype(np.uint8)))
            place = dict(segmentation=dict(rle, counts=rle['counts'].decode()))
        category, score = 10 * (int(pred['labels'][index]) + 1), float(pred['scores'][index])
        rows.append(dict(image_id=sample['img_id'], category_id=category, score=score, **place))
    return rows


def instance_definition() -> float:
    """Mask AP against the definition of COCO's AP, written out for images without crowds."""
    samples = random_samples(30)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        ours = evaluate(InstanceAP(write_instances(samples, Path(folder) / 'i.json'), metric='segm'), samples)
    thresholds = np.linspace(0.5, 0.95, 10)
    values = np.array([[_average_precision(samples, label, t) for t in thresholds] for label in range(3)])
    return largest(ours, dict(AP=100 * values.mean(), AP50=100 * values[:, 0].mean(), AP75=100 * values[:, 5].mean()))


def _average_precision(samples: list[dict], label: int, threshold: float) -> float:
    """Precision at 101 recalls of one class: greedy matching in the order of scores."""
    hits, count = [], 0
    for sample in samples:
        gt, pred = sample['gt_panoptic_seg'], sample['pred_instances']
        masks = [gt['sem_seg'][0] == s['id'] for s in gt['segments_info'] if s['label'] == label]
        count += len(masks)
        free = set(range(len(masks)))
        for index in pred['scores'].argsort(descending=True).tolist():
            if pred['labels'][index] != label:
                continue
            mask = pred['masks'][index]
            ious = {i: int((mask & masks[i]).sum()) / int((mask | masks[i]).sum()) for i in sorted(free)}
            best = max(ious, key=ious.get, default=None)
            hit = best is not None and ious[best] >= threshold
            free -= {best} if hit else set()
            hits.append((float(pred['scores'][index]), hit))
    right = np.cumsum([hit for _, hit in sorted(hits, reverse=True)])
    precision, recall = right / np.arange(1, len(right) + 1), right / count
    return float(np.mean([max(precision[recall >= r], default=0.0) for r in np.linspace(0, 1, 101)]))


def semantic_sklearn() -> float:
    """mIoU, mAcc, aAcc and fwIoU against scikit-learn's scores of all labelled pixels."""
    from sklearn.metrics import accuracy_score, jaccard_score, recall_score

    samples = random_samples(30)
    gt, pred = (torch.cat([s[f'{side}_sem_seg']['sem_seg'].flatten() for s in samples]) for side in ('gt', 'pred'))
    gt, pred = gt[gt >= 0].numpy(), pred[gt >= 0].numpy()
    labels = list(range(len(VOCABULARY)))
    theirs = dict(
        mIoU=jaccard_score(gt, pred, labels=labels, average='macro'),
        fwIoU=jaccard_score(gt, pred, labels=labels, average='weighted'),
        mAcc=recall_score(gt, pred, labels=labels, average='macro'),
        aAcc=accuracy_score(gt, pred),
    )
    return largest(evaluate(SemanticIoU(), samples), {name: 100 * value for name, value in theirs.items()})


def referring_sklearn() -> float:
    """cIoU, mIoU and P@0.5 to P@0.9 against scikit-learn's Jaccard score of every phrase, and of all pixels."""
    from sklearn.metrics import jaccard_score

    samples = random_samples(30)
    gt, pred = (torch.cat([s[f'{side}_phrases']['masks'].flatten(1) for s in samples]) for side in ('gt', 'pred'))
    own = np.array([jaccard_score(*pair) for pair in zip(gt, pred, strict=True)])
    theirs = dict(cIoU=100 * jaccard_score(gt.flatten(), pred.flatten()), mIoU=100 * own.mean())
    theirs.update({f'P@{t}': 100 * (own >= t).mean() for t in (0.5, 0.6, 0.7, 0.8, 0.9)})
    return largest(evaluate(ReferringIoU(), samples), theirs)


def retrieval_torchmetrics() -> float:
    """R@1, R@5 and R@10 both ways, several captions per image, against torchmetrics' hit rate."""
    from torchmetrics.functional.retrieval import retrieval_hit_rate

    samples = random_samples(60)
    images = torch.stack([sample['pred_embedding'].double().mean(0) for sample in samples])
    texts = [sample['pred_text_embeddings'].double() for sample in samples]
    owners = torch.cat([torch.full((len(own),), index) for index, own in enumerate(texts)])
    scores = images @ torch.cat(texts).T
    right = owners[None] == torch.arange(len(samples))[:, None]
    theirs = {}
    for name, values, marks in (('image_to_text', scores, right), ('text_to_image', scores.T, right.T)):
        for k in (1, 5, 10):
            hits = [retrieval_hit_rate(*row, top_k=k) for row in zip(values, marks, strict=True)]
            theirs[f'{name}_R@{k}'] = 100 * sum(hits) / len(hits)
    return largest(evaluate(RetrievalRecall(), samples), theirs)


def captions_pycocoevalcap() -> float:
    """BLEU-1 to 4, ROUGE-L and CIDEr-D, times 100, against pycocoevalcap's scorers on the same words."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    samples = random_samples(60)
    candidates = [simple_tokens(sample['pred_captions'][0]['text']) for sample in samples]
    references = [[simple_tokens(text) for text in sample['captions']] for sample in samples]
    gts = {index: [' '.join(text) for text in texts] for index, texts in enumerate(references)}
    res = {index: [' '.join(text)] for index, text in enumerate(candidates)}
    pairs = list(zip(bleu(candidates, references), Bleu(4).compute_score(gts, res, verbose=0)[0], strict=True))
    rouge = [rouge_l(*pair) for pair in zip(candidates, references, strict=True)]
    pairs.append((math.fsum(rouge) / len(rouge), Rouge().compute_score(gts, res)[0]))
    cider = cider_d_scores(candidates, references)
    pairs.append((math.fsum(cider) / len(cider), Cider().compute_score(gts, res)[0]))
    return max(100 * abs(ours - theirs) for ours, theirs in pairs)


def tokens_ptb() -> float:
    """Share of captions, in percent, that our tokenizer splits otherwise than the Penn Treebank's (needs Java)."""
    if why_no_ptb():
        raise ModuleNotFoundError(why_no_ptb())
    texts = [text for sample in random_samples(100) for text in sample['captions']]
    return (
        100 * sum(simple_tokens(text) != own for text, own in zip(texts, ptb_tokens(texts), strict=True)) / len(texts)
    )


COMPARISONS: dict[str, Callable[[], float]] = {
    function.__name__: function
    for function in (
        panoptic_torchmetrics,
        panoptic_mmdet,
        instance_pycocotools,
        instance_definition,
        semantic_sklearn,
        referring_sklearn,
        retrieval_torchmetrics,
        captions_pycocoevalcap,
        tokens_ptb,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('names', nargs='*', help=f'comparisons to make (default: all): {", ".join(COMPARISONS)}')
    for name in parser.parse_args().names or COMPARISONS:
        try:
            print(f'{name:<24} {COMPARISONS[name]():9.1e}   {COMPARISONS[name].__doc__.splitlines()[0]}')
        except ModuleNotFoundError as error:
            print(f'{name:<24}   skipped   {error}')


if __name__ == '__main__':
    main()
