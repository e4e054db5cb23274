# Fine-tuning that keeps the open vocabulary: the text tower is frozen, so every word keeps its meaning, and every batch
# mixes your data and your class list with COCO's. A tenth of the usual learning rate changes the rest gently.
_base_ = './xdecoder_focal-t_finetune-panoptic.py'
frozen = ('text_encoder.*',)

common = dict(type='CocoPanopticSegDataset', pipeline={{_base_.train_pipeline}})
my_data = dict(
    data_root={{_base_.data_root}},
    ann_file='annotations/panoptic_train.json',
    data_prefix=dict(img='train/', seg='annotations/panoptic_train/'),
)
coco = dict(
    data_root='data/coco/',
    ann_file='annotations/panoptic_train2017.json',
    data_prefix=dict(img='train2017/', seg='panoptic_train2017/'),
    indices={{_base_.num_pictures}},  # equal shares
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='ConcatDataset',
            datasets=[dict(**common, **my_data), dict(**common, **coco)],
            ignore_keys=['classes', 'vocabulary'],  # every sample brings its own class list
        )
    )
)
optim_wrapper = dict(optimizer=dict(lr=1e-5))

max_iters = 2 * _base_.max_iters  # as many passes over your images as without COCO's
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
