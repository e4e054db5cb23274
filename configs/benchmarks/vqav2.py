# VQAv2, validation: 214,354 questions about 40,504 images; test: 447,793 about 81,434.
# The model needs VQATask with its answers, see configs/xdecoder/xdecoder_focal-t_vqa.py.
_base_ = './_base_/testing.py'
data_root = 'data/coco/'

test_dataloader = dict(
    batch_size=4,
    dataset=dict(
        type='VQADataset',
        data_root=data_root,
        ann_file='vqa/v2_OpenEnded_mscoco_val2014_questions.json',
        answers_file='vqa/v2_mscoco_val2014_annotations.json',
        data_prefix=dict(img='val2014/'),
        img_name='COCO_val2014_{image_id:012d}.jpg',
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='mmdet.Resize', scale=(640, 640), keep_ratio=False, backend='pillow', interpolation='bicubic'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('vqa',)),
        ],
    ),
)
test_evaluator = [dict(type='VQAAccuracy')]
benchmark = dict(
    title='VQAv2',
    split='validation',
    num_samples=40504,
    headline=('vqa/accuracy', 'vqa/accuracy_yes/no', 'vqa/accuracy_number', 'vqa/accuracy_other'),
    reference='X-Decoder, table 1 (fine-tuned, test-dev and test-std); nothing was published for the validation set',
    layout='vqa/v2_OpenEnded_mscoco_val2014_questions.json, vqa/v2_mscoco_val2014_annotations.json, val2014/*.jpg',
    notes=(
        'People disagree: the best possible answers do not reach 100.',
        'Models for the test server are usually trained on this set as well, and then have seen its answers.',
        'One encoding of an image serves all of its questions.',
    ),
)
protocols = dict(
    official=dict(why='Squashed to 640x640, Pillow bicubic, the most probable of 3,129 answers.'),
    recommended=dict(why='The same: fine-tuning saw nothing but such squares.'),
)
# The test questions: writes a file for the server, which gives the accuracy of test-dev and test-std.
variants = {
    'vqav2-test': dict(
        test_dataloader=dict(
            dataset=dict(
                ann_file='vqa/v2_OpenEnded_mscoco_test2015_questions.json',
                answers_file=None,
                data_prefix=dict(img='test2015/'),
                img_name='COCO_test2015_{image_id:012d}.jpg',
            )
        ),
        test_evaluator=[dict(type='VQAAccuracy', result_file='outputs/vqav2-test_answers.json')],
        benchmark=dict(
            split='test (answers for the server)',
            num_samples=81434,
            headline=('vqa/answered',),
            reference='X-Decoder, table 1 (fine-tuned)',
            layout='vqa/v2_OpenEnded_mscoco_test2015_questions.json, test2015/*.jpg',
        ),
    )
}
