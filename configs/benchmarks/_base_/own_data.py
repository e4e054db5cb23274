# What benchmarks of your own images share: no published numbers, and splits that you name (`NAME:SPLIT@FOLDER`).
_base_ = './testing.py'
data_root = 'data/my_data/'
test_dataloader = dict(dataset=dict(data_root=data_root))
benchmark = dict(own_data=True, notes=[])
protocols = dict(
    official=dict(why='nothing was published for your data; as recommended'),
    recommended=dict(why="images have the size that the model's config gives them for inference"),
)
