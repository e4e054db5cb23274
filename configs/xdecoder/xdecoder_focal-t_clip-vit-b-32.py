# Focal-T with the text tower of a CLIP model in place of X-Decoder's own; any causal model of open_clip will do.
# To start from CLIP's weights: --cfg-options model.text_encoder.pretrained=open_clip_model.safetensors (a local file).
_base_ = ['../_base_/models/focal-t.py', '../_base_/default_runtime.py']
model = dict(
    text_encoder=dict(_delete_=True, type='OpenCLIPTextEncoder', model='ViT-B-32', embed_dims=512, pretrained=None),
    # As wide as the tower: its table of tokens is what captions are written with.
    tasks=dict(captioning=dict(text_width=512)),
)
