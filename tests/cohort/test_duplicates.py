"""Near hashes against brute force, edited copies of pictures, and groups that do not depend on the order of rows."""

from __future__ import annotations

import logging
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pulmoscope.cohort import duplicates, near
from pulmoscope.cohort.confirm import THRESHOLD, Confirmer, confirm, similarity
from pulmoscope.cohort.duplicates import find_groups, group_rows
from pulmoscope.cohort.near import CROWD, near_candidates, near_pairs
from pulmoscope.errors import ImageError, TableError
from pulmoscope.imaging import fingerprint
from pulmoscope.imaging.looks import look, look_hashes


def brute(hashes: NDArray[np.uint64], radius: int) -> NDArray[np.int64]:
    near_ones = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= radius
    return np.argwhere(np.triu(near_ones, 1))


def clustered(count: int, seed: int, *, centres: int = 30, flips: int = 7) -> NDArray[np.uint64]:
    """Hashes in clusters, so that every distance up to twice ``flips`` occurs often."""
    draw = np.random.default_rng(seed)
    hashes = draw.integers(0, 2**64, centres, dtype=np.uint64)[draw.integers(0, centres, count)]
    for _ in range(flips):
        bits = np.uint64(1) << draw.integers(0, 64, count, dtype=np.uint64)
        hashes = hashes ^ np.where(draw.random(count) < 0.5, bits, np.uint64(0))
    return hashes


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 300), st.integers(0, 10), st.integers(0, 10_000))
def test_near_pairs_are_those_of_brute_force(count: int, radius: int, seed: int) -> None:
    hashes = clustered(count, seed)
    np.testing.assert_array_equal(near_pairs(hashes, radius), brute(hashes, radius).reshape(-1, 2))


@pytest.mark.parametrize("radius", [1, 2, 4, 6, 8])
def test_the_sorting_search_finds_what_brute_force_finds(
    radius: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = clustered(3000, radius, centres=400)
    # Make sorting cheap in the plan, or a table this small would be compared outright.
    monkeypatch.setattr(near, "_SORT_COST", 0.001)
    assert len(near._cheapest_family(hashes, radius, np.inf) or []) > 1
    np.testing.assert_array_equal(near_pairs(hashes, radius), brute(hashes, radius))


def test_the_search_is_not_quadratic() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**64, 60_000, dtype=np.uint64)
    hashes[1000:1100] = hashes[:100] ^ np.uint64(0b1011)
    pairs = near_candidates(hashes[:, None], 4, work=60_000**2 / 8).pairs
    np.testing.assert_array_equal(pairs, np.stack([np.arange(100), np.arange(1000, 1100)], 1))


def test_a_crowd_of_equal_hashes_is_a_chain_with_the_same_components() -> None:
    hashes = np.full(5000, 77, np.uint64)
    hashes[4990:] = 78  # a smaller crowd beside it
    pairs = near_pairs(hashes, 2)
    assert len(pairs) < 5000 + 10 * CROWD
    labels = duplicates._components(5000, [pairs])
    assert (labels == labels[0]).all()
    assert (near_pairs(hashes, 0)[:, 1] < 4990).sum() == 4989


def test_any_hash_of_one_row_may_meet_any_of_another() -> None:
    hashes = np.array([[1 << 40, 0xFFFF], [0xF0F0 << 16, 1 << 40], [3 << 50, 5 << 30]], np.uint64)
    found = near_candidates(hashes, 0)
    assert found.pairs.tolist() == [[0, 1]]
    assert found.distances.tolist() == [0]
    closer = near_candidates(np.array([[0, 0b111], [0b1, 0b11111]], np.uint64), 4)
    assert closer.pairs.tolist() == [[0, 1]]
    assert closer.distances.tolist() == [1]


def test_too_many_pairs_shrink_the_radius_and_say_so() -> None:
    hashes = clustered(2000, 5, centres=20)[:, None]
    everything = near_candidates(hashes, 8)
    limited = near_candidates(hashes, 8, limit=len(everything.pairs) // 20)
    assert everything.radius == 8
    assert 0 <= limited.radius < 8
    np.testing.assert_array_equal(limited.pairs, everything.pairs[everything.distances <= limited.radius])
    assert near_candidates(hashes, 8, limit=0).radius == -1


# Pictures


def film(seed: int, height: int = 300, width: int = 260) -> NDArray[np.float32]:
    """A picture with structure at many scales, a bright trunk and two dark lungs: unlike others, yet of one kind."""
    draw = np.random.default_rng(seed)
    picture = np.zeros((height, width), np.float32)
    for cells in (5, 9, 17, 33):
        coarse = draw.normal(size=(cells, cells)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * (8 / cells) ** 0.7
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    lungs = np.exp(-(((np.abs(x) - 0.45) / 0.25) ** 2) - (y / 0.6) ** 2)
    picture = 0.55 + 0.09 * picture - 0.35 * lungs
    return np.clip(picture, 0.06, 1).astype(np.float32)


def save(path: Path, picture: NDArray[np.float32], quality: int = 90) -> str:
    cv2.imwrite(str(path), np.rint(picture * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return str(path)


def resized(picture: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    return np.clip(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), 0, 1)


EDITS = {
    "re-encoded": lambda p: p,
    "smaller": lambda p: resized(p, 0.5),
    "larger": lambda p: resized(p, 2.0),
    "stretched": lambda p: cv2.resize(p, (224, 224), interpolation=cv2.INTER_AREA),
    "centre square": lambda p: p[20:-20],
    "cropped": lambda p: p[12:-12, 10:-10],
    "cropped unevenly": lambda p: p[4:-12, 9:-2],
    "gamma": lambda p: p**0.75,
    "brighter": lambda p: np.clip(p * 1.1 + 0.03, 0, 1),
    "black border": lambda p: np.pad(p, 18),
    "padded to a square": lambda p: np.pad(p, ((0, 0), (20, 20))),
    "several": lambda p: resized(p[6:-3, 5:-5], 0.7) ** 1.2,
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_copy_is_found_and_confirmed(edit: str, tmp_path: Path) -> None:
    for seed in range(4):
        original = film(seed)
        copy = np.ascontiguousarray(EDITS[edit](original), np.float32)
        path_a, path_b = save(tmp_path / "a.png", original), save(tmp_path / "b.jpg", copy, 50)
        assert confirm(path_a, path_b)
        distances = np.bitwise_count(look(original).hashes[:, None] ^ look(copy).hashes[None, :])
        assert distances.min() <= duplicates.RADIUS


def test_different_pictures_are_not_confirmed() -> None:
    looks = [look(film(seed)) for seed in range(12)]
    values = [similarity(one, other) for one, other in combinations(looks, 2)]
    assert max(values) < THRESHOLD - 0.1
    assert similarity(looks[0], looks[0]) == pytest.approx(1)


def test_confirming_an_unreadable_file_is_an_error_and_in_bulk_a_nan(tmp_path: Path) -> None:
    good = save(tmp_path / "good.png", film(0))
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    with pytest.raises(ImageError):
        confirm(good, bad)
    values = Confirmer([good, str(bad), None, good], workers=1).similarities(
        np.array([[0, 1], [0, 2], [0, 3]])
    )
    assert np.isnan(values[:2]).all()
    assert values[2] == pytest.approx(1)


# Groups


def cohort(tmp_path: Path) -> pd.DataFrame:
    """Source b holds edited copies of four pictures of source a; one patient has two films; two rows are one file."""
    rows = []
    for seed in range(10):
        path = save(tmp_path / f"a{seed}.png", film(seed))
        rows.append((f"a/{seed}.png", path, "a", f"a:{0 if seed == 1 else seed}", f"sha-a{seed}"))
    for seed in (2, 3, 4, 5):
        path = save(tmp_path / f"b{seed}.jpg", film(seed)[20:-20], 70)
        rows.append((f"b/{seed}.jpg", path, "b", None, f"sha-b{seed}"))
    rows.append(("b/x.png", rows[6][1], "b", None, "sha-a6"))
    frame = pd.DataFrame(rows, columns=["image_id", "path", "source", "patient_id", "sha256"])
    frame["phash"] = [look_hashes(film(0)) for _ in rows]  # all alike to the hash: only the pixels can tell
    return frame


def test_patients_contents_and_copies_are_joined_across_sources(tmp_path: Path) -> None:
    frame = cohort(tmp_path)
    grouping = find_groups(frame, workers=1)
    groups = grouping.group_id.groupby(grouping.group_id).apply(
        lambda rows: sorted(frame["image_id"][rows.index])
    )
    assert groups["g:a/0.png"] == ["a/0.png", "a/1.png"]
    assert groups["g:a/2.png"] == ["a/2.png", "b/2.jpg"]
    assert groups["g:a/6.png"] == ["a/6.png", "b/x.png"]
    assert groups["g:a/9.png"] == ["a/9.png"]
    assert len(groups) == 9
    assert grouping.exact_pairs.values.tolist() == [["a/6.png", "b/x.png"]]
    assert grouping.near_pairs["image_id_b"].tolist() == [f"b/{n}.jpg" for n in (2, 3, 4, 5)]
    assert grouping.across_sources.values.tolist() == [["a", "b", 5], ["b", "a", 5]]
    assert "5 pictures of b stand in a too" in grouping.notes()


def test_groups_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    frame = cohort(tmp_path)
    shuffled = frame.sample(frac=1, random_state=3)
    pd.testing.assert_series_equal(
        group_rows(frame, workers=1), group_rows(shuffled, workers=1).loc[frame.index]
    )


def test_one_stored_hash_is_looked_at_again(tmp_path: Path) -> None:
    frame = cohort(tmp_path)
    frame["phash"] = [f"{row:016x}" for row in range(len(frame))]
    assert len(find_groups(frame, workers=1).near_pairs) == 4


def test_stored_looks_need_no_second_decoding_whatever_the_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    frame = cohort(tmp_path)
    frame["phash"] = [fingerprint(path).phash for path in frame["path"]]
    monkeypatch.setattr(duplicates, "MOST_SECOND_LOOKS", 0)
    monkeypatch.setattr(Confirmer, "hashes", lambda *_, **__: pytest.fail("decoded again"))
    with caplog.at_level(logging.WARNING, "pulmoscope"):
        grouping = find_groups(frame, workers=1)
    assert grouping.near_pairs["image_id_b"].tolist() == [f"b/{n}.jpg" for n in (2, 3, 4, 5)]
    assert grouping.one_look == 0
    assert caplog.text == ""


def test_single_hashes_beyond_the_limit_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    frame = cohort(tmp_path)
    frame["phash"] = [fingerprint(path).phash for path in frame["path"]]
    frame.loc[:2, "phash"] = frame["phash"].str[:16]
    assert find_groups(frame, workers=1).one_look == 0
    monkeypatch.setattr(duplicates, "MOST_SECOND_LOOKS", 2)
    with caplog.at_level(logging.WARNING, "pulmoscope"):
        grouping = find_groups(frame, workers=1)
    assert grouping.one_look == 3
    assert "3 pictures have one perceptual hash instead of 4" in caplog.text
    assert any("3 pictures have one perceptual hash" in line for line in grouping.notes())


def test_nulls_join_nothing_and_near_copies_can_be_left_out(tmp_path: Path) -> None:
    frame = cohort(tmp_path)
    assert find_groups(frame, near=False).group_id.nunique() == 13
    blank = frame.assign(patient_id=None, sha256=None, phash=None)
    assert find_groups(blank, workers=1).group_id.nunique() == len(frame)
    assert find_groups(frame[["image_id"]]).group_id.tolist() == [f"g:{name}" for name in frame["image_id"]]
    assert find_groups(frame[:0]).group_id.empty


def test_what_was_not_compared_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = cohort(tmp_path)
    (tmp_path / "a9.png").unlink()
    with caplog.at_level(logging.WARNING, "pulmoscope"):
        grouping = find_groups(frame, workers=1)
    assert grouping.unread == len(frame) - 1
    assert "were not compared" in caplog.text
    assert any("were not compared" in line for line in grouping.notes())


def test_a_flood_of_candidates_is_bounded_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(duplicates, "MOST_CANDIDATES", 300)
    hashes = clustered(1500, 1, centres=10)
    frame = pd.DataFrame(
        {"image_id": [f"s/{n}" for n in range(1500)], "phash": [f"{h:016x}" for h in hashes.tolist()]}
    )
    asked: list[int] = []

    def judge(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        asked.append(len(pairs))
        return np.zeros(len(pairs))

    with caplog.at_level(logging.WARNING, "pulmoscope"):
        grouping = find_groups(frame, confirmation=judge)
    assert sum(asked) <= 300
    assert grouping.radius < duplicates.RADIUS
    assert "look-alikes" in caplog.text
    assert any("look-alikes" in line for line in grouping.notes())


@pytest.mark.parametrize(("alike", "said"), [(30, True), (15, False), (0, False)])
def test_look_alikes_that_chain_patients_into_one_group_are_said(alike: int, said: bool) -> None:
    frame = pd.DataFrame(
        {"image_id": [f"s/{n:03d}" for n in range(100)], "phash": ["0" * 16] * 100, "patient_id": range(100)}
    ).astype({"patient_id": str})
    grouping = find_groups(frame, confirmation=lambda pairs: (pairs < alike).all(axis=1).astype(float))
    assert grouping.group_id.value_counts().iloc[0] == max(alike, 1)
    assert any("--no-near-copies" in line for line in grouping.notes()) == said
    assert not said or "near copies join 30 of 100 pictures into one group" in " ".join(grouping.notes())


def test_a_patient_of_many_pictures_is_no_chain_of_look_alikes() -> None:
    frame = pd.DataFrame({"image_id": [f"s/{n:03d}" for n in range(100)], "phash": ["0" * 16] * 100}).assign(
        patient_id=[str(max(n, 40)) for n in range(100)]
    )
    grouping = find_groups(frame, confirmation=lambda pairs: (pairs > 97).all(axis=1).astype(float))
    assert len(grouping.near_pairs) == 1
    assert grouping.group_id.value_counts().iloc[0] == 41
    assert not any("--no-near-copies" in line for line in grouping.notes())


def test_a_table_that_cannot_be_grouped_is_refused() -> None:
    with pytest.raises(TableError, match="unique image_id"):
        find_groups(pd.DataFrame({"image_id": ["a", "a"]}))
    with pytest.raises(TableError, match="hexadecimal"):
        find_groups(pd.DataFrame({"image_id": ["a", "b"], "phash": ["00ff00ff00ff00ff", "no"]}))


# Real radiographs


def real(folder: Path, files: list[Path], source: str) -> pd.DataFrame:
    """Every file with the four hashes of its looks."""
    confirmer = Confirmer([str(path) for path in files])
    seen = confirmer.hashes(range(len(files)))
    return pd.DataFrame(
        {
            "image_id": [f"{source}/{path.relative_to(folder).as_posix()}" for path in files],
            "path": [str(path) for path in files],
            "source": source,
            "phash": ["".join(f"{h:016x}" for h in seen[row].tolist()) for row in range(len(files))],
        }
    )


def test_different_patients_stay_apart(real_data: Path) -> None:
    files = sorted((real_data / "nih_sample" / "images").glob("*.jpg"))
    assert find_groups(real(real_data, files, "nih")).group_id.nunique() == len(files) == 621


def test_hannovers_pictures_are_found_in_cohen(real_data: Path) -> None:
    hannover = sorted((real_data / "hannover" / "images").glob("*.jpg"))
    stems = {path.stem for path in hannover}
    cohen = [path for path in sorted((real_data / "cohen" / "images").iterdir()) if path.suffix != ".gz"]
    both = pd.concat(
        [real(real_data, hannover, "hannover"), real(real_data, cohen, "cohen")], ignore_index=True
    )
    pairs = find_groups(both).near_pairs
    across = pairs[
        pairs["image_id_a"].str.startswith("cohen") & pairs["image_id_b"].str.startswith("hannover")
    ]
    stem_a, stem_b = (
        across[column].map(lambda name: Path(name).stem) for column in ("image_id_a", "image_id_b")
    )
    truly = sum(path.stem in stems for path in cohen)
    assert truly == 82
    assert (stem_a == stem_b).sum() >= 76
    assert (stem_a == stem_b).all()
