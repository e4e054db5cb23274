# Question answering on VQAv2, the paper's 10 epochs at 640 pixels, batch size 256: 48 images with 5.4 questions each (8
# GPUs, 6 images each). The answers are made by tools/dataset_converters/vqa_answers.py; say their number, too:
#   bash tools/dist_train.sh xdecoder_focal-t_finetune-vqav2 8 --weights OFFICIAL_OR_OWN \
#     --cfg-options model.tasks.vqa.answers=data/coco/vqa/answers.txt model.tasks.vqa.num_answers=3129
_base_ = [
    '../../_base_/models/focal-t.py',
    '../../_base_/datasets/vqa_v2.py',
    '../../_base_/schedules/finetune_24e.py',
    '../../_base_/default_runtime.py',
]
allow_missing = ('tasks.*',)  # weights that do not know the task yet
find_unused_parameters = True  # what makes masks has no part in the loss
model = dict(
    tasks=dict(
        _delete_=True,
        vqa=dict(
            type='VQATask',
            answers=None,
            num_answers=3129,
            embed_dims=512,
            context_length=77,
            loss=dict(type='AnswerLoss', sigmoid=True, loss_weight=3129.0),
        ),
    ),
)
max_iters = 10 * 82783 // 48
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 10)
# The classifier is new: 1e-3.
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(lr_mults={'backbone': 0.1, 'text_encoder': 0.1, 'tasks.vqa.classifier': 10.0}),
)
auto_scale_lr = dict(base_batch_size=48)
