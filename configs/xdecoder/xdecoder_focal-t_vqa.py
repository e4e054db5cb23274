# The released VQA checkpoint: all tasks of Focal-T plus question answering over the 3,129 answers of VQAv2. Name the
# file with the answers, one per line or a JSON list: --cfg-options model.tasks.vqa.answers=FILE
_base_ = './xdecoder_focal-t.py'
model = dict(
    tasks=dict(
        vqa=dict(
            type='VQATask',
            answers=None,
            num_answers=3129,
            embed_dims=512,
            context_length=77,
            loss=dict(type='AnswerLoss', sigmoid=True, loss_weight=3129.0),
        )
    )
)
