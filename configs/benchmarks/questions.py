# Questions about your own images.
_base_ = './_base_/own_data.py'
test_dataloader = dict(
    dataset=dict(
        type='QuestionListDataset',
        ann_file='questions.json',
        data_prefix=dict(img='images/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ModelResize', task='vqa'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('vqa',)),
        ],
    )
)
test_evaluator = [
    dict(type='VQAAccuracy'),
]
benchmark = dict(
    title='own questions',
    split='all',
    headline=('vqa/accuracy',),
    layout='questions.json (a list of records with image, question and answer, answers or human_answers), images/',
)
