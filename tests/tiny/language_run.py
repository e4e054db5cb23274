# The tiny model with the language tasks, for their benchmarks.
_base_ = './tiny_run.py'

model = dict(
    tasks=dict(
        referring=dict(type='ReferringTask', mode='independent'),
        captioning=dict(type='CaptioningTask', embed_dims=32, text_width=8, generation=dict(max_tokens=4)),
        retrieval=dict(type='RetrievalTask', backbone_channels=64, embed_dims=32),
        vqa=dict(type='VQATask', embed_dims=32, answers=('yes', 'no', '2', 'red')),
    )
)
