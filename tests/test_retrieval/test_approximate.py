import numpy as np
import pytest

from xdet.retrieval.approximate import Approximate, Recipe, fill, load, merge, save, train

faiss = pytest.importorskip('faiss', reason='faiss is not installed (pip install faiss-cpu)')
IVF, GRAPH = Recipe('ivfpq', lists=8, code=2, depth=8), Recipe('hnsw', neighbours=8, depth=64)


@pytest.fixture(scope='module')
def rows():
    random = np.random.default_rng(0)
    centres = random.standard_normal((40, 16))
    found = centres[random.integers(0, 40, 1500)] + 0.6 * random.standard_normal((1500, 16))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope='module')
def lists(rows):
    """Trained and empty."""
    return train(rows, IVF)


def best(rows, queries, k):
    return np.argsort(-(queries @ rows.T), axis=1)[:, :k]


def recall(found, rows, queries):
    wanted = best(rows, queries, found.shape[1])
    return np.mean([len(set(one) & set(two)) / len(one) for one, two in zip(found, wanted, strict=True)])


@pytest.mark.parametrize('recipe', [IVF, GRAPH], ids=lambda recipe: recipe.kind)
def test_finds_nearly_all_with_true_scores(rows, recipe):
    queries = rows[:50]
    scores, found = Approximate.build(rows, recipe, [rows[:700], rows[700:]]).search(queries, 10)
    assert recall(found, rows, queries) > 0.9
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ rows.T, found, 1), atol=1e-6)
    assert (np.diff(scores) <= 0).all() and (found[:, 0] == np.arange(50)).all()


def test_merged_shards_equal_one_index(rows, lists):
    empty, whole = lists, fill(lists, rows, 0)
    parts = merge([fill(empty, rows[start : start + 500], start) for start in (0, 500, 1000)])
    assert parts.ntotal == 1500 and empty.ntotal == 0
    one, two = (Approximate(index, rows).search(rows[:20], 5) for index in (whole, parts))
    np.testing.assert_array_equal(one[1], two[1])


@pytest.mark.parametrize('kind', ['ivfpq', 'hnsw'])
def test_saved_and_read(rows, lists, kind, tmp_path):
    index = fill(lists if kind == 'ivfpq' else train(rows, GRAPH), rows, 0)
    save(index, tmp_path / 'index')
    one, two = (Approximate(found, rows).search(rows[:5], 5)[1] for found in (index, load(tmp_path / 'index')))
    np.testing.assert_array_equal(one, two)
    (tmp_path / 'broken').write_bytes(b'nothing')
    for name in ('broken', 'missing'):
        with pytest.raises(ValueError, match=f'{name}.* is no index of faiss'):
            load(tmp_path / name)


def test_damage_and_other_rows_are_told(rows, lists, tmp_path):
    path, index = tmp_path / 'index', fill(lists, rows, 0)
    save(index, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match='index.* is no index of faiss .its sum is wrong, so it is damaged'):
        load(path)
    path.write_bytes(faiss.serialize_index(index).tobytes())  # of faiss itself, without a sum
    assert load(path).ntotal == len(rows)
    for others in (rows[:99], rows[:, :8]):
        with pytest.raises(ValueError, match='the index has 1500 rows of 16 numbers, so it is not one of these'):
            Approximate(index, others)
    with pytest.raises(ValueError, match='the index names row [0-9]+, and there are 1500'):
        Approximate(fill(lists, rows, 9999), rows).search(rows[:1], 1)


def test_mistakes(rows, lists):
    with pytest.raises(ValueError, match="accepted are 'ivfpq' and 'hnsw'"):
        Recipe('tree')
    with pytest.raises(ValueError, match='code is 5 bytes, which does not divide'):
        train(rows, Recipe(code=5))
    with pytest.raises(ValueError, match='the sample has 20 rows; 256 are needed for 8 lists'):
        train(rows[:20], IVF)
    graph = train(rows, GRAPH)
    with pytest.raises(ValueError, match="'joined' cannot hold 2 graphs; save each"):
        save(merge([fill(graph, rows[:9], 0), fill(graph, rows[9:20], 9)]), 'joined')
    with pytest.raises(ValueError, match='no shards'):
        merge([])
    with pytest.raises(ValueError, match='trained differently'):
        merge([fill(lists, rows, 0), fill(train(rows, Recipe(lists=4, code=1)), rows, 0)])
