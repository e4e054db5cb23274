"""Prints how far each stage of a full-size model is from the official model, as a Markdown table.

Usage, from the repository: PYTHONPATH=tests python -m parity.table [--model focal-t] [case ...]

Cases are those recorded of the model on photographs (by default ``eval_tiny`` of ``focal-t``, ``davitd3_tiny`` of
``davit-d3``; not part of the repository). Errors are the largest over all recorded values of a stage, absolute and
relative to the stage's root mean square.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from parity.cases import Case
from parity.model import full_size_model, run_stages
from parity.tasks import task_tensors
from parity.weights import filler_state, official_keys

from xdet.models import postprocess
from xdet.models.similarity import cosine_logits
from xdet.structures import Vocabulary

FIRST_CASES = {'focal-t': 'eval_tiny', 'davit-d3': 'davitd3_tiny'}


@torch.no_grad()
def stages_of(case: Case, model) -> dict[str, torch.Tensor]:
    """Our tensor for every recorded one, in the order of computation."""
    images = [torch.from_numpy(image) for image in case.inputs()]
    run = run_stages(model, images)
    recorded = case.json['text'][0]
    names = tuple(recorded['names'][:-1])
    if recorded['prompts']:
        text = model.vocabulary.encode(recorded['prompts'])
    else:
        text = model.vocabulary(Vocabulary(names, (True,) * len(names)))
    logits = [cosine_logits(run.class_embed(layer), text, model.text_encoder.logit_scale) for layer in range(10)]
    masks = postprocess.mask_logits(
        run.outputs.last.mask_embed[0], run.features.mask_features[0], images[0].shape[-2:], case.sizes()[0]
    )
    return {
        'input': run.inputs,
        **{f'res{index + 2}': level for index, level in enumerate(run.features.backbone)},
        'mask_features': run.features.mask_features,
        **{f'multi_scale_{index}': level for index, level in enumerate(run.features.memory)},
        'text_emb': text,
        'aux_logits': torch.stack(logits[:9]),
        'aux_masks_0_4_8': torch.stack([run.masks(layer) for layer in (0, 4, 8)]),
        'pred_logits': logits[-1],
        'pred_masks': run.masks(-1),
        'pred_captions': run.class_embed(-1),
        'img0_masks_up': masks,
        'img0_sem_seg': postprocess.semantic_scores(logits[-1][0], lambda q: masks[q], case.sizes()[0]),
    }


def main() -> None:
    """Print a table per case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', default='focal-t', choices=FIRST_CASES, help='model of the cases')
    parser.add_argument('cases', nargs='*', help='recorded cases')
    args = parser.parse_args()
    model = full_size_model(args.model, filler_state(official_keys(args.model)))
    for name in args.cases or [FIRST_CASES[args.model]]:
        case = Case(name)
        print(f'\n{name}\n\n| stage | shape | max error | relative to RMS | reference fp32 vs fp64 |')
        print('|---|---|---|---|---|')
        tensors = stages_of if case.spec['kind'] == 'eval' else task_tensors
        for key, tensor in tensors(case, model).items():
            if key not in case.tensors:
                continue
            about = case.tensors[key]
            values = tensor.numpy()[tuple(slice(None, None, step) for step in about.get('strides', [1] * tensor.ndim))]
            error = np.abs(values.astype(np.float64) - case.arrays[key]).max()
            noise = about['noise_vs_fp64']['max']
            print(f'| {key} | {list(tensor.shape)} | {error:.1e} | {error / about["rms"]:.1e} | {noise:.1e} |')


if __name__ == '__main__':
    main()
