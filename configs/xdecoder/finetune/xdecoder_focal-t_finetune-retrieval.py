# Retrieval on COCO's Karpathy split, the paper's 10 epochs at 384 pixels and batch size 2048 (32 GPUs, 64 each):
#   GPUS=32 bash tools/slurm_train.sh PARTITION JOB xdecoder_focal-t_finetune-retrieval WORK_DIR --weights FILE
_base_ = [
    '../../_base_/models/focal-t.py',
    '../../_base_/datasets/image_text_pairs.py',
    '../../_base_/schedules/finetune_24e.py',
    '../../_base_/default_runtime.py',
]
find_unused_parameters = True  # what makes masks and captions has no part in the loss
model = dict(
    tasks=dict(
        _delete_=True,
        retrieval=dict(type='RetrievalTask', backbone_channels=768, embed_dims=512, loss=dict(type='RetrievalLoss')),
    ),
)
resize = dict(type='mmdet.Resize', scale=(384, 384), keep_ratio=False, backend='pillow', interpolation='bilinear')
train_pipeline = [
    dict(type='LoadXDetImage'),
    resize,
    dict(type='ChooseCaption', with_nouns=False),
    dict(type='PackXDetInputs', segments=False),
]
test_pipeline = [dict(type='LoadXDetImage'), resize, dict(type='PackXDetInputs', test_mode=True, tasks=('retrieval',))]
train_dataloader = dict(batch_size=64, dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = [dict(type='RetrievalRecall')]
test_evaluator = val_evaluator

max_iters = 10 * 113287 // 2048
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 10)
optim_wrapper = dict(optimizer=dict(lr=3e-5))
auto_scale_lr = dict(base_batch_size=2048)
