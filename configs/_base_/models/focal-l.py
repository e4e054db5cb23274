# X-Decoder with Focal-L, as released: 201 queries, 341.6 M parameters.
_base_ = './focal-t.py'
model = dict(
    backbone=dict(
        block='focal',
        embed_dims=192,
        depths=(2, 2, 18, 2),
        focal_levels=(4, 4, 4, 4),
    ),
    pixel_decoder=dict(in_channels=(192, 384, 768, 1536)),
    decoder=dict(num_queries=201),
    tasks=dict(retrieval=dict(backbone_channels=1536)),
)
