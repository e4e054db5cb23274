# How the images of every benchmark are read, and what a test does.
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_mode=True),
)
test_cfg = dict(type='TestLoop')
