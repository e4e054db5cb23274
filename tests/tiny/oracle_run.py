# A model that knows the answers, in the place of one that has learnt.
_base_ = ['../../configs/_base_/default_runtime.py']
custom_imports = dict(imports=['tiny.oracle_model'])
model = dict(
    type='OracleModel',
    instances='',
    shuffled=False,
    tasks=dict(
        segmentation=dict(type='SegmentationTask'),
        referring=dict(type='ReferringTask'),
        captioning=dict(type='CaptioningTask'),
        retrieval=dict(type='RetrievalTask'),
        vqa=dict(type='VQATask'),
    ),
)
