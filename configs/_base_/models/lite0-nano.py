# A small X-Decoder for photographs: the parts of focal-nano on the EfficientNet-Lite0 of timm (3 M parameters). Its
# ImageNet weights come from `backbone.weights` or tools/misc/start_weights.py (docs/photos.md). It stands on no other
# config, so that configs of trainings may stand on each other.
model = dict(
    type='XDecoder',
    data_preprocessor=dict(
        type='XDecoderDataPreprocessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        pad_size_divisor=32,
    ),
    backbone=dict(type='TimmBackbone', name='tf_efficientnet_lite0', drop_path_rate=0.05),
    pixel_decoder=dict(
        type='FPNTransformerPixelDecoder',
        in_channels=(24, 40, 112, 320),
        feat_channels=128,
        num_layers=2,
        num_heads=4,
        feedforward_channels=512,
    ),
    text_encoder=dict(
        type='XDecoderTextEncoder', width=64, num_heads=4, num_layers=4, embed_dims=128, context_length=77
    ),
    decoder=dict(
        type='XDecoderTransformerDecoder',
        num_queries=51,
        embed_dims=128,
        num_heads=4,
        num_layers=6,
        feedforward_channels=512,
    ),
    tasks=dict(
        segmentation=dict(
            type='SegmentationTask',
            loss=dict(type='SegmentationLoss'),
            noun_loss=dict(type='NounContrastiveLoss'),
            # Names are what takes time: masks are learned at once.
            pixel_names=dict(
                type='PixelNames',
                embed_dims=128,
                maps=dict(memory_0=128, memory_2=128, backbone_3=320),
                heard=['backbone_3'],
                weight=4.0,
                void_weight=0.2,
                joined=True,
            ),
            object_mask_threshold=0.7,
            overlap_threshold=0.8,
            max_per_image=100,
        ),
        referring=dict(type='ReferringTask', mode='independent', loss=dict(type='GroundingLoss')),
        captioning=dict(
            type='CaptioningTask', embed_dims=128, text_width=64, context_length=77, loss=dict(type='CaptionLoss')
        ),
        retrieval=dict(
            type='RetrievalTask',
            backbone_channels=320,
            embed_dims=128,
            decoder_weight=0.5,
            loss=dict(type='RetrievalLoss'),
        ),
        classification=dict(type='ClassificationTask'),
        interactive=dict(type='InteractiveTask'),
    ),
)
