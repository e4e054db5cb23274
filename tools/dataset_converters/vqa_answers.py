"""List of answers for VQATask, from the annotations of VQA or from a list of own questions.

    python tools/dataset_converters/vqa_answers.py data/coco/vqa/v2_mscoco_train2014_annotations.json \\
        data/coco/vqa/v2_mscoco_val2014_annotations.json --out data/coco/vqa/answers.txt

writes the answers, one per line, the most frequent first, that are the most common answer (VQA's
multiple_choice_answer) of at least nine questions. These are the 3,129 answers that the literature uses, of training
and validation set together, in another order than in any one release: weights need the list they were trained with.

Lists of own questions (JSON, JSONL, CSV, TSV, Parquet; see QuestionListDataset) count every answer they name as right.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.datasets.files.coco_json import load_json
from xdet.datasets.files.conversion import Record, add_arguments, run_conversion
from xdet.datasets.files.pair_lists import read_rows
from xdet.io.schema import checked, require
from xdet.io.terminal import tell
from xdet.io.writing import write_text
from xdet.structures.answers import normalize_answer, soft_scores


@dataclass(frozen=True)
class Job:
    """What to count, and where to write."""

    sources: tuple[Path, ...]
    out: Path
    min_count: int


def answers_of(path: Path) -> Iterator[list[str]]:
    """The right answers of every question of a file, in their normalised spelling.

    Raises:
        FileNotFoundError, ValueError: There is no such file, or it has no answers.
    """
    content = load_json(str(path)) if path.suffix == '.json' else None
    if isinstance(content, dict):
        annotations = content.get('annotations')
        if not isinstance(annotations, list):
            raise ValueError(f'{path}: not a file of VQA annotations')
        for position, entry in enumerate(annotations):
            where = f'{path}: not a file of VQA annotations; entry {position} (counted from 0)'
            yield [normalize_answer(require(entry, 'multiple_choice_answer', str, where))]
        return
    for number, row in enumerate(read_rows(str(path)), start=1):
        where = f'{path}, row {number}'
        right = require(row, 'answers', (str, list, dict), where, None) or require(
            row, 'answer', (str, list), where, None
        )
        human = require(row, 'human_answers', list, where, None)
        for answer in [*(human or ()), *(right if isinstance(right, (list, dict)) else ())]:
            checked(answer, str, f'{where}: an answer')
        if human:
            right = [answer for answer, score in soft_scores(human).items() if score >= 1]
        elif not right:
            raise ValueError(f"{path}, row {number}: has no answer; a row needs 'answer', 'answers' or 'human_answers'")
        yield list({normalize_answer(answer) for answer in ([right] if isinstance(right, str) else right)})


def convert(job: Job) -> Record:
    """Count and write.

    Raises:
        FileNotFoundError, ValueError: A file is missing or unusable, or no answer is frequent enough.
    """
    questions = [answers for path in job.sources for answers in answers_of(path)]
    counts = Counter(answer for answers in questions for answer in answers if answer)
    kept = sorted((answer for answer, count in counts.items() if count >= job.min_count), key=lambda a: (-counts[a], a))
    if not kept:
        raise ValueError(f'{job.out}: no answer occurs {job.min_count} times; lower --min-count')
    write_text(job.out, ''.join(f'{answer}\n' for answer in kept))
    known = set(kept)
    covered = sum(not known.isdisjoint(answers) for answers in questions)
    return dict(files=[job.out.name], kept=len(kept), answers=len(counts), covered=covered, questions=len(questions))


def report(records: dict[str, Record]) -> list[str]:
    """Print how many answers and questions the list covers."""
    for name, record in records.items():
        share = 100 * record['covered'] / record['questions']
        tell(
            f'{name}: {record["kept"]} of {record["answers"]} answers, which answer {record["covered"]} of '
            f'{record["questions"]} questions ({share:.1f} %)'
        )
    return []


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('sources', type=Path, nargs='+', help='annotation files of VQA, or lists of own questions')
    parser.add_argument('--out', type=output_file, required=True, help='text file, one answer per line')
    parser.add_argument(
        '--min-count', type=int, default=9, help='questions that an answer must be right for (default 9)'
    )
    add_arguments(parser)
    args = parser.parse_args()
    job = Job(tuple(args.sources), args.out, args.min_count)
    with one_line_errors('collecting answers', OSError, ValueError):
        run_conversion(args, args.out.parent, args.out.stem, {args.out.name: job}, convert, report)


if __name__ == '__main__':
    sys.exit(run_program(main))
