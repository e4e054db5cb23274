# X-Decoder with Focal-T, as released: 101 queries, 164.5 M parameters.
model = dict(
    type='XDecoder',
    data_preprocessor=dict(
        type='XDecoderDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='FocalNet',
        block='focal_dw',
        embed_dims=96,
        depths=(2, 2, 6, 2),
        focal_levels=(3, 3, 3, 3),
        focal_windows=(3, 3, 3, 3),
        drop_path_rate=0.3,
    ),
    pixel_decoder=dict(
        type='FPNTransformerPixelDecoder',
        in_channels=(96, 192, 384, 768),
        feat_channels=512,
        num_layers=6,
        num_heads=8,
        feedforward_channels=2048,
    ),
    text_encoder=dict(
        type='XDecoderTextEncoder',
        width=512,
        num_heads=8,
        num_layers=12,
        embed_dims=512,
        context_length=77,
    ),
    decoder=dict(
        type='XDecoderTransformerDecoder',
        num_queries=101,
        embed_dims=512,
        num_heads=8,
        num_layers=9,
        feedforward_channels=2048,
    ),
    tasks=dict(
        segmentation=dict(
            type='SegmentationTask',
            loss=dict(type='SegmentationLoss'),
            object_mask_threshold=0.8,
            overlap_threshold=0.8,
            max_per_image=100,
        ),
    ),
)
