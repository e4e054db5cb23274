"""Teach a text tower what a sentence encoder knows, before any image is seen.

    python tools/misc/distill_text.py CONFIG TEACHER out.safetensors --weights START --names names.txt \\
        --sentences captions.txt --keep old_world.txt --minutes 10

TEACHER is a folder of a sentence encoder for `transformers` (mean pooling, such as all-MiniLM-L6-v2). Names are learned
in prompt templates, sentences as they are. The texts of --keep go on meaning to each other what they mean to the tower
of START, so that what was trained with it is still understood.
"""

from __future__ import annotations

import argparse
import copy
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from xdet.analysis.known_words import brought_along
from xdet.analysis.subject import import_components
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.compat.checkpoint import read_checkpoint, state_dict_of, write_state_dict
from xdet.io.terminal import tell
from xdet.io.writing import replacing
from xdet.models.losses.criteria.distillation import RelationalDistillationLoss, centred, neighbour_agreement
from xdet.models.text import CausalTextEncoder, random_prompts
from xdet.models.text.tokenizer import END_TOKEN, START_TOKEN, VOCAB_SIZE, _bpe
from xdet.registry import MODELS


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config with the text encoder')
    parser.add_argument('teacher', type=Path, help='folder of the sentence encoder')
    parser.add_argument('target', type=output_file, help='.safetensors to write: --weights with the new text encoder')
    parser.add_argument('--weights', type=Path, help='start, .safetensors of a whole model')
    parser.add_argument(
        '--names',
        type=Path,
        nargs='+',
        required=True,
        help='files with one name per line; those of the first are all learned',
    )
    parser.add_argument('--sentences', type=Path, nargs='*', default=[], help='files with one sentence per line')
    parser.add_argument('--keep', type=Path, nargs='*', default=[], help='files with one text per line, see above')
    parser.add_argument(
        '--hold',
        type=Path,
        nargs='*',
        default=[],
        help='files with one name or sentence per line whose embeddings stay where they are, those of the first file '
        'above all: for weights that have learned from images. Rows of the token table that their words have, and that '
        'captions are written with, stay as well',
    )
    parser.add_argument(
        '--meanings',
        type=Path,
        nargs='*',
        default=[],
        help='files with a name, a tab and what it is per line ("foal", "horse"), as a dictionary has them: more names '
        'that the teacher sees halfway between the two. Sentence encoders know few such relations of rare words',
    )
    parser.add_argument('--word-vectors', type=Path, help='.npy [n, d] for rows of the token table')
    parser.add_argument('--words', type=Path, help='the words of --word-vectors, one per line')
    parser.add_argument('--unseen', type=int, default=2000, help='names and sentences set apart for the measurement')
    parser.add_argument('--minutes', type=float, default=10.0)
    parser.add_argument('--batch', type=int, default=256)
    parser.add_argument('--lr', type=float, default=2e-3)
    parser.add_argument('--cache', type=output_file, help='.pt file for the embeddings of the teacher')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def read_lines(paths: list[Path]) -> list[str]:
    """Lines of files that are not empty, each once."""
    lines = (line.strip() for path in paths for line in path.read_text().splitlines())
    return list(dict.fromkeys(line for line in lines if line))


def read_meanings(paths: list[Path]) -> dict[str, str]:
    """Meanings by name.

    Raises:
        ValueError: A line is not two texts with a tab between them.
    """
    meanings = {}
    for path in paths:
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
            parts = [part.strip() for part in line.split('\t')]
            if line.strip() and (len(parts) != 2 or not all(parts)):
                raise ValueError(f'{path}, line {number}: {line!r} is not a name, a tab and what it is')
            if line.strip():
                meanings[parts[0]] = parts[1]
    return meanings


@torch.no_grad()
def teach(folder: Path, texts: list[str], cache: Path | None) -> Tensor:
    """Embeddings ``[n, D]`` of the teacher."""
    known = read_checkpoint(cache) if cache is not None and cache.exists() else {}
    missing = sorted((text for text in dict.fromkeys(texts) if text not in known), key=len)
    if missing:
        from transformers import AutoModel, AutoTokenizer

        tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
        for start in range(0, len(missing), 128):
            part = missing[start : start + 128]
            batch = tokenizer(part, padding=True, truncation=True, max_length=64, return_tensors='pt')
            states, mask = model(**batch).last_hidden_state, batch['attention_mask'][..., None]
            pooled = (states * mask).sum(1) / mask.sum(1)
            known.update(zip(part, torch.nn.functional.normalize(pooled, dim=1), strict=True))
        if cache is not None:
            with replacing(cache) as file:
                torch.save({text: row.clone() for text, row in known.items()}, file)
    return torch.stack([known[text] for text in texts])


def halfway(teacher: dict[str, Tensor], meanings: dict[str, str]) -> dict[str, Tensor]:
    """Embeddings ``[D]`` of the names with a meaning, each between that of the name and that of the meaning."""
    return {
        name: torch.nn.functional.normalize(teacher[name] + teacher[meaning], dim=0)
        for name, meaning in meanings.items()
    }


def start_rows_from_words(encoder: CausalTextEncoder, vectors: np.ndarray, words: list[str], keep: list[str]) -> int:
    """Put word vectors into the rows of whole words, except those that the texts to keep use; how many."""
    used = {token for text in keep for token in _bpe().encode(text)}
    rows = {}
    for word, vector in zip(words, vectors, strict=True):
        ids = _bpe().encode(word)
        if len(ids) == 1 and ids[0] not in used and ids[0] < VOCAB_SIZE:
            rows.setdefault(ids[0], vector)
    table = encoder.token_embedding.weight
    known = torch.tensor(np.stack(list(rows.values())), dtype=table.dtype)
    known = (known - known.mean(0)) / known.std()
    scale = table[sorted(used)].std() if used else table.std()
    basis = torch.linalg.qr(torch.randn(table.shape[1], table.shape[1])).Q[: known.shape[1]]
    with torch.no_grad():
        table[list(rows)] = known[:, : len(basis)] @ basis * scale
    return len(rows)


def leave_rows(encoder: CausalTextEncoder, texts: list[str]) -> None:
    """Train no rows of the token table that the words of these texts have."""
    table = encoder.token_embedding.weight
    trained = torch.ones(len(table), 1)
    for text in texts:
        trained[[0, START_TOKEN, *_bpe().encode(text), END_TOKEN]] = 0
    table.register_hook(lambda gradient: gradient * trained)


@torch.no_grad()
def embed(encoder: CausalTextEncoder, texts: list[str]) -> Tensor:
    """Embeddings ``[n, C]`` of the student."""
    return torch.cat([encoder(texts[start : start + 256]).pooled for start in range(0, len(texts), 256)])


def train(args: argparse.Namespace, encoder: CausalTextEncoder, old: CausalTextEncoder) -> None:
    """Distil for the time given."""
    names, sentences, keep, hold = map(read_lines, (args.names, args.sentences, args.keep, args.hold))
    rng = random.Random(args.seed)
    begun = time.time()
    meanings = read_meanings(args.meanings)
    everything = names + sentences + keep + hold + list(meanings) + list(meanings.values())
    teacher = teach(args.teacher, everything, args.cache)
    teacher = centred(teacher, teacher[: len(names)])
    teacher = dict(zip(everything, teacher, strict=True))
    teacher |= halfway(teacher, meanings)
    tell(f'teacher: {len(everything)} texts in {time.time() - begun:.0f} s')
    asked = ['dog', 'cat', 'horse', 'cow', 'sheep', 'person', 'sofa', 'background']
    listed = set(read_lines(args.names[:1]))
    candidates = [text for text in names + sentences if text not in listed and text not in meanings]
    unseen = rng.sample(candidates, min(args.unseen, len(candidates) // 4))
    hidden = set(unseen)
    names = [text for text in names if text not in hidden]
    sentences = [text for text in sentences if text not in hidden]
    names = list(dict.fromkeys([*names, *meanings]))

    def report(when: str) -> None:
        encoder.eval()
        agreement = 'no unseen texts'
        if unseen:
            found = neighbour_agreement(embed(encoder, unseen), torch.stack([teacher[text] for text in unseen]))
            agreement = f'10 nearest of {len(unseen)} unseen texts: {100 * found:.1f} % agree'
        known = [text for text in asked if text in teacher]
        gram = torch.nn.functional.normalize(embed(encoder, [f'{text}.' for text in known]), dim=1)
        tell(f'{when}: {agreement}')
        tell(f'    {" ".join(known)} {(gram @ gram.T).round(decimals=2).tolist()}', flush=True)
        encoder.train()

    report('before')
    if args.word_vectors is not None:
        count = start_rows_from_words(encoder, np.load(args.word_vectors), args.words.read_text().split('\n'), keep)
        tell(f'{count} rows of the token table start from word vectors')
        report('word vectors')
    decayed = [p for p in encoder.parameters() if p.ndim >= 2 and p is not encoder.token_embedding.weight]
    others = [p for n, p in encoder.named_parameters() if n != 'logit_scale' and not any(p is q for q in decayed)]
    groups = [dict(params=decayed, weight_decay=0.01), dict(params=others, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98))
    criterion = RelationalDistillationLoss(weight=20.0, rank_weight=0.5)
    old_rows = torch.nn.functional.normalize(embed(old, keep), dim=1) if keep else None
    first = read_lines(args.hold[:1])
    leave_rows(encoder, hold)
    begun, step = time.time(), 0
    while (passed := (time.time() - begun) / 60 / args.minutes) < 1:
        for group in optimizer.param_groups:
            group['lr'] = args.lr * min(1.0, (step + 1) / 100) * max(0.01, 0.5 * (1 + np.cos(np.pi * passed)))
        explained = rng.sample(list(meanings), min(len(meanings), args.batch // 4))
        of_names = rng.sample(names, min(len(names), 3 * args.batch // 4 - len(explained))) + explained
        of_sentences = rng.sample(sentences, min(len(sentences), args.batch - len(of_names)))
        bare = [rng.random() < 0.5 for _ in of_names]
        prompts = random_prompts(of_names)
        texts = [name if plain else prompt for name, plain, prompt in zip(of_names, bare, prompts, strict=True)]
        wanted = torch.stack([teacher[text] for text in of_names + of_sentences])
        rows = rng.sample(range(len(keep)), min(len(keep), args.batch // 4))
        student = torch.cat([encoder(part).pooled for part in (texts, of_sentences) if part])  # each at its own length
        loss = sum(criterion(student, wanted).values())
        if rows:
            kept = encoder([keep[row] for row in rows]).pooled
            across = criterion(student, wanted, kept, torch.stack([teacher[keep[row]] for row in rows]))
            loss = loss + sum(criterion(kept, old_rows[rows]).values()) + across['loss_relation']
        if hold:
            held = first + rng.sample(hold, min(len(hold), args.batch // 2))
            shown = [rng.choice(random_prompts([text])) if rng.random() < 0.5 else text for text in held]
            place = encoder(shown).pooled
            with torch.no_grad():
                before = old(shown).pooled
            near = slice(len(first))
            across = criterion(student, wanted, place[near], torch.stack([teacher[text] for text in first]))
            loss = loss + sum(across.values()) + 20 * (1 - torch.cosine_similarity(place, before)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for group in groups for p in group['params']], 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            tell(f'{step} steps, {60 * args.minutes * passed:.0f} s: loss {loss.item():.4f}', flush=True)
    report(f'after {step} steps')
    if keep:
        kept = torch.nn.functional.normalize(embed(encoder.eval(), keep[:2000]), dim=1)
        same = neighbour_agreement(kept, old_rows[:2000])
        tell(f'texts to keep: {100 * same:.1f} % of the 10 nearest are those of before')
    if hold:
        cosines = torch.cosine_similarity(embed(encoder.eval(), hold[:2000]), embed(old, hold[:2000]))
        tell(f'texts to hold: cosine with before {cosines.mean():.3f} on average, {cosines.min():.3f} at least')


def main() -> None:
    """Entry point."""
    args = parse_args()
    import_components()
    torch.manual_seed(args.seed)
    config = Config.fromfile(args.config)
    encoder = MODELS.build(config.model.text_encoder)
    checkpoint = read_checkpoint(args.weights) if args.weights else {}
    weights = state_dict_of(checkpoint, args.weights) if args.weights else {}
    known = brought_along(checkpoint, args.weights) if args.weights else None
    own = {
        key.removeprefix('text_encoder.'): value for key, value in weights.items() if key.startswith('text_encoder.')
    }
    if own:
        encoder.load_state_dict({key: value.float() for key, value in own.items()}, strict=False)
    train(args, encoder, copy.deepcopy(encoder).eval())
    dtype = next(iter(own.values())).dtype if own else torch.float32
    state = {
        f'text_encoder.{key}': value.detach().to(dtype).contiguous() for key, value in encoder.state_dict().items()
    }
    write_state_dict({**weights, **state}, args.target, known_words=known and known.unmeasured())


if __name__ == '__main__':
    sys.exit(run_program(main))
