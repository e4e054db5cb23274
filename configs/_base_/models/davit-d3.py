# X-Decoder with DaViT-d3 as in the official release: 201 queries, 222.0 M parameters.
_base_ = './focal-t.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='DaViT',
        embed_dims=(128, 256, 512, 1024),
        depths=(1, 1, 9, 1),
        num_heads=(4, 8, 16, 32),
        window_size=7,
        down_kernel_size=2,
        drop_path_rate=0.3,
    ),
    pixel_decoder=dict(in_channels=(128, 256, 512, 1024)),
    decoder=dict(num_queries=201),
    tasks=dict(retrieval=dict(backbone_channels=1024)),
)
