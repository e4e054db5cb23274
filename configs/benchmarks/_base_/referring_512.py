# Referring segmentation at the official size: shortest edge 512, longest at most 1024, Pillow bilinear. Annotations of
# RefCOCO and its like are made of the published files, such as refcoco+_unc.json:
#   python tools/dataset_converters/refer_to_json.py 'refcoco+/refs(unc).p' refcoco+/instances.json \
#     data/coco/annotations/refcoco+_unc.json
_base_ = './testing.py'
data_root = 'data/coco/'

test_dataloader = dict(
    dataset=dict(
        type='RefCocoDataset',
        data_root=data_root,
        data_prefix=dict(img='train2017/'),
        img_name='{id:012d}.jpg',
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ResizeShortestEdge', scale=512, max_size=1024),
            dict(type='ChoosePhrases', test_mode=True, sentences='all'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('refseg',)),
        ],
    )
)
test_evaluator = [dict(type='ReferringIoU', thresholds=(0.5, 0.6, 0.7, 0.8, 0.9))]
benchmark = dict(
    headline=('referring/cIoU', 'referring/mIoU', 'referring/P@0.5'),
    reference='X-Decoder, table 1 (RefCOCOg UMD val); the official code registers no other split',
    notes=(
        'Sentences are lower-cased, without a full stop added.',
        'Images are those of COCO train2014, which are in train2017 under the same ids.',
        'cIoU (also called oIoU) sums pixels over all phrases, mIoU averages over phrases.',
    ),
)
protocols = dict(
    official=dict(
        {
            'model.tasks.referring.mode': 'joint',
            'test_dataloader.dataset.pipeline.2.sentences': 'first',
        },
        why='Only the first sentence of each object, and all phrases of an image in one pass, where they influence '
        'each other. Releases of the official code before v2.0 resized bicubically and did not limit the longest edge.',
    ),
    recommended=dict(
        {'model.tasks.referring.mode': 'independent'},
        why='Every sentence counts, as in the literature on these data, and no phrase sees another, so that a result '
        'depends on its image and phrase alone.',
    ),
)
