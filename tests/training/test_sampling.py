from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import in_memory
from pulmoscope.errors import RecipeError
from pulmoscope.training.batches import TrainingBatches
from pulmoscope.training.sampling import Sampler, classes_to_change, limited

LABELS = np.repeat([0, 1, 2], [10, 4, 3]).astype(np.int64)
RARE = np.array([False, False, True])


def _draw(sampler: Sampler, epoch: int = 1) -> tuple[np.ndarray, np.ndarray | None]:
    return sampler.draw(np.random.default_rng([0, epoch]))


def test_plain_sampling_is_the_permutation_of_the_generator() -> None:
    positions, changes = _draw(Sampler(labels=LABELS))
    assert positions.tolist() == np.random.default_rng([0, 1]).permutation(17).tolist()
    assert changes is None


def test_over_sampling_makes_all_classes_as_many_as_the_largest() -> None:
    sampler = Sampler(labels=LABELS, sampling="over")
    positions, _ = _draw(sampler)
    times = np.bincount(positions, minlength=17)
    assert np.bincount(LABELS[positions]).tolist() == [10, 10, 10]
    assert sampler.class_counts().tolist() == [10, 10, 10]
    assert times[:10].tolist() == [1] * 10
    assert sorted(times[10:14]) == [2, 2, 3, 3]
    assert sorted(times[14:]) == [3, 3, 4]
    assert _draw(sampler, 2)[0].tolist() != positions.tolist()
    assert _draw(sampler, 1)[0].tolist() == positions.tolist()


def test_under_sampling_draws_anew_as_many_as_the_smallest_class_has() -> None:
    sampler = Sampler(labels=LABELS, sampling="under")
    epochs = [_draw(sampler, epoch)[0] for epoch in range(1, 30)]
    for positions in epochs:
        assert np.bincount(LABELS[positions]).tolist() == [3, 3, 3]
        assert len(set(positions)) == 9
    assert set(np.concatenate(epochs)) == set(range(17))


def test_expansion_shows_every_picture_once_plain_and_the_rest_changed() -> None:
    positions, changes = _draw(Sampler(labels=LABELS, expand=3))
    assert changes is not None
    assert sorted(positions[~changes]) == list(range(17))
    assert sorted(positions[changes]) == sorted([*range(17)] * 2)


def test_pictures_that_may_not_change_come_once_and_plain() -> None:
    once = _draw(Sampler(labels=LABELS, may_change=RARE))
    assert once[1] is not None
    assert (once[1] == (LABELS[once[0]] == 2)).all()
    sampler = Sampler(labels=LABELS, expand=4, may_change=RARE)
    positions, changes = _draw(sampler)
    assert np.bincount(LABELS[positions]).tolist() == sampler.class_counts().tolist() == [10, 4, 12]
    assert changes is not None
    assert set(LABELS[positions[changes]]) == {2}
    assert (~changes).sum() == 17


@settings(max_examples=30, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=2, max_size=40),
    sampling=st.sampled_from(["none", "over", "under"]),
    expand=st.integers(1, 3),
    may=st.none() | st.lists(st.booleans(), min_size=4, max_size=4),
    seed=st.integers(0, 99),
)
def test_an_epoch_is_as_long_as_it_says(
    labels: list[int], sampling: str, expand: int, may: list[bool] | None, seed: int
) -> None:
    given_labels = np.array(labels)
    sampler = Sampler(
        labels=given_labels,
        sampling=sampling,  # type: ignore[arg-type]
        expand=expand,
        may_change=None if may is None else np.array(may),
    )
    positions, changes = sampler.draw(np.random.default_rng(seed))
    assert len(positions) == len(sampler)
    counts = np.bincount(given_labels[positions], minlength=4)
    assert counts.tolist() == np.pad(sampler.class_counts(), (0, 4))[:4].tolist()
    assert changes is None or len(changes) == len(positions)


def test_the_classes_that_may_change() -> None:
    names = ["normal", "pneumonia", "covid"]
    assert classes_to_change(None, LABELS, names) is None
    for choice, expected in (("minority", [False, False, True]), (["normal", "covid"], [True, False, True])):
        found = classes_to_change(choice, LABELS, names)  # type: ignore[arg-type]
        assert found is not None
        assert found.tolist() == expected
    with pytest.raises(RecipeError, match="augment_only.*got covit; remedy: did you mean covid"):
        classes_to_change(["covit"], LABELS, names)


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    limit=st.integers(4, 60),
    seed=st.integers(0, 99),
)
def test_a_limit_keeps_class_shares_and_every_class(counts: list[int], limit: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    chosen = limited(labels, limit, seed=seed)
    assert len(chosen) == len(set(chosen)) == min(limit, len(labels))
    kept = np.bincount(labels[chosen], minlength=len(counts))
    assert (kept >= 1).all()
    assert (kept <= counts).all()
    quotas = np.array(counts) * len(chosen) / len(labels)
    assert (kept >= np.floor(quotas) - (len(counts) - 1)).all()
    assert chosen.tolist() == limited(labels, limit, seed=seed).tolist()


def test_limits_by_hand() -> None:
    labels = np.repeat([0, 1, 2], [70, 28, 2])
    assert np.bincount(labels[limited(labels, 10, seed=0)]).tolist() == [7, 2, 1]
    assert set(limited(labels, 10, seed=0)) < set(limited(labels, 50, seed=0))
    assert set(limited(labels, 50, seed=0)) != set(limited(labels, 50, seed=1))
    assert len(limited(labels, None, seed=0)) == len(limited(labels, 1000, seed=0)) == 100
    with pytest.raises(RecipeError, match="train.limit is smaller.*at least 3; got 2"):
        limited(labels, 2, seed=0)


def _batches(
    counts: tuple[int, ...], *, batch: int, processes: int = 1, **options: object
) -> TrainingBatches:
    part = in_memory.examples(counts)
    sampler = Sampler(labels=part.labels, **options)  # type: ignore[arg-type]
    return TrainingBatches(part, sampler, batch=batch, seed=1, processes=processes)


def test_batches_depend_on_seed_and_epoch_alone_and_cover_everything() -> None:
    batches = _batches((5, 3, 2), batch=4)
    first, second = list(batches), list(batches)
    assert [len(b.labels) for b in first] == [4, 3, 3]
    assert [b.epoch for b in second] == [2, 2, 2]
    order = [np.concatenate([b.positions for b in epoch]).tolist() for epoch in (first, second)]
    assert sorted(order[0]) == sorted(order[1]) == list(range(10))
    assert order[0] != order[1]
    later = _batches((5, 3, 2), batch=4)
    later.next_epoch = 2
    assert np.concatenate([b.positions for b in later]).tolist() == order[1]


def test_batches_of_sampled_epochs_differ_by_one_at_most_and_say_what_may_change() -> None:
    batches = _batches((9, 4, 2), batch=4, sampling="over", expand=2)
    epoch = list(batches)
    assert len(epoch) == len(batches) == 14
    assert {len(b.labels) for b in epoch} == {3, 4}
    assert sum(len(b.labels) for b in epoch) == batches.pictures == 54
    changes = torch.cat([b.changes for b in epoch if b.changes is not None])
    assert int(changes.sum()) == 27
    for batch in epoch:
        assert torch.equal(batch.labels, torch.from_numpy(batches.examples.labels[batch.positions]))


def test_processes_share_every_batch_without_overlap() -> None:
    shares = []
    for rank in range(2):
        batches = _batches((6, 2, 2), batch=4, processes=2, sampling="over")
        batches.rank, batches.world = rank, 2
        shares.append(list(batches))
    alone = list(_batches((6, 2, 2), batch=4, processes=2, sampling="over"))
    together = [np.concatenate([a.positions, b.positions]) for a, b in zip(*shares, strict=True)]
    assert [one.tolist() for one in together] == [one.positions.tolist() for one in alone]
    assert min(len(b.labels) for b in itertools.chain(*shares)) >= 2


@pytest.mark.parametrize(
    ("n", "batch", "processes"), [(3, 2, 1), (7, 2, 1), (9, 2, 2), (33, 32, 1), (5, 4, 4)]
)
def test_no_process_is_left_with_one_picture_where_there_are_enough(
    n: int, batch: int, processes: int
) -> None:
    batches = _batches((n,), batch=batch, processes=processes)
    sizes = [len(b.labels) for b in batches]
    assert sum(sizes) == n
    assert min(sizes) >= min(n, 2 * processes)
