# RefCOCO, RefCOCO+ and RefCOCOg in all their splits.
_base_ = './_base_/referring_512.py'
google = (
    'The split is by objects: images are in the training part, too, with other objects.',
    'Sentences are lower-cased, without a full stop added.',
)
variants = {
    f'{data}-{by}-{split}': dict(
        test_dataloader=dict(dataset=dict(ann_file=f'annotations/{data}_{by}.json', splits=[split])),
        benchmark=dict(
            title=f'{data.replace("refcoco", "RefCOCO")}, {by.capitalize() if by == "google" else by.upper()} split',
            split=split,
            num_samples=images,
            layout=f'annotations/{data}_{by}.json, train2017/*.jpg',
            **(dict(notes=google) if by == 'google' else {}),
        ),
    )
    for data, by, split, images in (
        ('refcoco', 'unc', 'val', 1500),  # 3,811 objects, 10,834 sentences
        ('refcoco', 'unc', 'testA', 750),  # 1,975 objects, 5,657 sentences; people only
        ('refcoco', 'unc', 'testB', 750),  # 1,810 objects, 5,095 sentences; everything but people
        ('refcoco+', 'unc', 'val', 1500),  # 3,805 objects, 10,758 sentences
        ('refcoco+', 'unc', 'testA', 750),  # 1,975 objects, 5,726 sentences; people only
        ('refcoco+', 'unc', 'testB', 750),  # 1,798 objects, 4,889 sentences; everything but people
        ('refcocog', 'google', 'val', 4650),  # 5,000 objects, 9,536 sentences
        ('refcocog', 'umd', 'val', 1300),  # 2,573 objects, 4,896 sentences
        ('refcocog', 'umd', 'test', 2600),  # 5,023 objects, 9,602 sentences
    )
}
