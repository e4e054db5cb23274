# Image-text pairs in WebDataset shards, as img2dataset writes them; testing on a list of pairs.
_base_ = './image_text_pairs.py'

train_dataloader = dict(
    sampler=dict(type='ShardSampler', window=16),
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='WebShardsDataset',
            shards='data/cc3m/{00000..00331}.tar',
            caption='txt',
            pipeline={{_base_.train_pipeline}},
        )
    ),
)
