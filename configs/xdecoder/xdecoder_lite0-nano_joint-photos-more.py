# Photographs, the generated world and three more sources (_base_/datasets/photos_more.py). One that you do not have is
# left out in a config on this one, or with --cfg-options train_dataloader.boxes=None
#   python tools/train.py xdecoder_lite0-nano_joint-photos-more --load-from start.safetensors
_base_ = ['./xdecoder_lite0-nano_joint-photos.py', '../_base_/datasets/photos_more.py']

model = dict(tasks=dict(segmentation=dict(loss=dict(box_loss=dict(type='BoxMaskLoss')))))
train_dataloader = {{_base_.more_sources}}
train_cfg = dict(weights=dict(streets=0.5, boxes=0.5))
auto_scale_lr = dict(base_batch_size=23)
