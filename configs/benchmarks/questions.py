# Questions about your own pictures.
data_root = 'data/my_data/'
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='QuestionListDataset',
        data_root=data_root,
        ann_file='questions.json',
        data_prefix=dict(img='images/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ModelResize', task='vqa'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('vqa',)),
        ],
        test_mode=True,
    ),
)
test_cfg = dict(type='TestLoop')
test_evaluator = [
    dict(type='VQAAccuracy'),
]
benchmark = dict(
    title='own questions',
    split='all',
    own_data=True,
    headline=('vqa/accuracy',),
    layout='questions.json (a list of records with image, question and answer, answers or human_answers), images/',
    notes=[],
)
protocols = dict(
    official=dict(why='nothing was published for your data; as recommended'),
    recommended=dict(why="pictures have the size that the model's config gives them for inference"),
)
