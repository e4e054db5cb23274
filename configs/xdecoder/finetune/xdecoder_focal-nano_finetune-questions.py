# Your own questions, with the small model on a CPU. First the list of answers, then the training:
#   python tools/dataset_converters/vqa_answers.py data/my_questions/train.jsonl --min-count 2 \
#     --out data/my_questions/answers.txt
#   python tools/train.py xdecoder_focal-nano_finetune-questions --weights xdet/assets/embedded_default.safetensors \
#     --cfg-options model.tasks.vqa.answers=data/my_questions/answers.txt
_base_ = [
    '../../_base_/models/focal-nano.py',
    '../../_base_/datasets/question_list.py',
    '../../_base_/schedules/finetune_tiny_cpu.py',
    '../../_base_/default_runtime.py',
]
allow_missing = ('tasks.*',)  # the answers are others than those of the weights
find_unused_parameters = True  # what makes masks has no part in the loss
model = dict(
    decoder=dict(num_queries=26),
    tasks=dict(
        _delete_=True,
        vqa=dict(
            type='VQATask',
            answers=('yes', 'no'),
            embed_dims=128,
            content='tokens',  # as the weights of the package
            loss=dict(type='AnswerLoss'),
        ),
    ),
)
