# VQAv2, test: 447,793 questions about 81,434 images. Writes a file for the server, which gives the accuracy of test-dev
# and test-std.
_base_ = './vqav2.py'
data_root = 'data/coco/'

test_dataloader = dict(
    dataset=dict(
        ann_file='vqa/v2_OpenEnded_mscoco_test2015_questions.json',
        answers_file=None,
        data_prefix=dict(img='test2015/'),
        img_name='COCO_test2015_{image_id:012d}.jpg',
    )
)
test_evaluator = [dict(type='VQAAccuracy', result_file='outputs/vqav2-test_answers.json')]
benchmark = dict(
    split='test (answers for the server)',
    num_samples=81434,
    headline=('vqa/answered',),
    reference='X-Decoder, table 1 (fine-tuned)',
    layout='vqa/v2_OpenEnded_mscoco_test2015_questions.json, test2015/*.jpg',
)
