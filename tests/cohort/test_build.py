"""From folders and tables to one cohort: what stays, what goes and why, and what is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pictures import write_picture, write_tree
from pulmoscope.cohort import Cohort, summarise
from pulmoscope.errors import CohortError, LabelError, SplitLeakError, TableError


def tree(root: Path, classes: dict[str, int], first_seed: int = 0) -> Path:
    names = [f"{name}/{name}{i:02}.png" for name, count in classes.items() for i in range(count)]
    for seed, name in enumerate(names, first_seed):
        write_picture(root / name, seed)
    return root


def build(root: Path, **options: object) -> Cohort:
    return Cohort.from_sources({"s": root}, near_copies=False, workers=1, **options)  # type: ignore[arg-type]


def codes(cohort: Cohort) -> dict[str, list[str]]:
    code = cohort.dropped["reason"].str.partition(":")[0]
    return {str(name): sorted(rows) for name, rows in cohort.dropped["image_id"].groupby(code)}


def error(root: Path, kind: type[Exception] = CohortError, **options: object) -> str:
    with pytest.raises(kind) as caught:
        build(root, **options)
    return str(caught.value)


def test_class_folders_become_a_split_cohort(tmp_path: Path) -> None:
    cohort = build(tree(tmp_path, {"normal": 12, "covid": 10}))
    assert cohort.classes == ("covid", "normal")
    assert len(cohort) == 22
    assert set(cohort.frame["split"]) == {"train", "val", "test"}
    assert cohort.info["split"] == {
        "kind": "patient:0.7,0.15,0.15",
        "seed": 0,
        "leaked": False,
        "leaking_groups": 0,
        "val_from_train": None,
    }
    assert cohort.info["sources"]["s"]["kind"] == "class_folders"
    assert cohort.frame[["sha256", "phash", "width", "group_id"]].notna().all(axis=None)
    assert any("no patient ids in 's'" in text for text in cohort.info["caveats"])
    assert cohort[0].image.shape == (48, 48)


def test_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(tree(tmp_path, {"a": 4, "b": 4}))
    assert capsys.readouterr() == ("", "")


def test_a_cohort_written_and_read_is_the_same(tmp_path: Path) -> None:
    cohort = build(tree(tmp_path / "data", {"a": 6, "b": 6}), where=["label!=x"])
    (tmp_path / "data" / "a" / "x.txt").write_text("x")
    again = Cohort.read(cohort.write(tmp_path / "out"))
    assert again.frame.equals(cohort.frame)
    assert again.info == cohort.info
    assert again.fingerprint() == cohort.fingerprint()
    assert Cohort.read(tmp_path / "out" / "cohort.parquet").fingerprint() == cohort.fingerprint()
    assert (tmp_path / "out" / "dropped.csv").read_text().startswith("image_id,path,source,reason,detail")


def test_a_seed_repeats_and_the_place_and_order_on_the_disk_do_not_matter(tmp_path: Path) -> None:
    root = tree(tmp_path / "one", {"a": 12, "b": 12})
    first = build(root, seed=3)
    other = tmp_path / "two"
    for file in sorted(root.rglob("*.png"), reverse=True):
        place = other / file.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    assert build(other, seed=3).fingerprint() == first.fingerprint()
    assert build(root, seed=4).fingerprint() != first.fingerprint()


def test_everything_left_out_is_counted_with_its_reason(tmp_path: Path) -> None:
    root = tree(tmp_path, {"covid": 6, "no_findings": 6, "cardiomegaly": 2})
    (root / "covid" / "empty.png").touch()
    (root / "covid" / "page.png").write_text("<html>")
    (root / "covid" / "notes.txt").write_text("x")
    whole = (root / "covid" / "covid00.png").read_bytes()
    (root / "covid" / "cut.png").write_bytes(whole[: len(whole) // 2])
    os.rename(
        os.fsencode(write_picture(root / "covid" / "x.png", 99)), os.fsencode(root / "covid") + b"/\xff.png"
    )
    cohort = build(root, labels="covid-pneumonia-normal", split="none")
    found = codes(cohort)
    assert found["E_NO_CLASS"] == ["s/cardiomegaly/cardiomegaly00.png", "s/cardiomegaly/cardiomegaly01.png"]
    assert found["E_FILENAME"] == ["s/covid/\\xff.png"]
    assert found["E_NOT_PICTURE"] == ["s/covid/notes.txt"]
    unreadable = {name for code in found for name in found[code] if code not in {"E_NO_CLASS", "E_FILENAME"}}
    assert {f"s/covid/{name}" for name in ("empty.png", "page.png", "cut.png")} <= unreadable
    assert sum(cohort.info["dropped"].values()) == len(cohort.dropped) == 7
    assert len(cohort) == 12


def test_one_picture_under_two_labels_is_dropped_and_said(tmp_path: Path) -> None:
    root = tree(tmp_path, {"a": 5, "b": 5})
    shutil.copy(root / "a" / "a00.png", root / "b" / "twin.png")
    cohort = build(root)
    assert codes(cohort)["E_LABEL_CONFLICT"] == ["s/a/a00.png", "s/b/twin.png"]
    assert cohort.dropped["detail"].unique().tolist() == ["a and b"]
    assert any("2 pictures were dropped because the same picture" in text for text in cohort.info["caveats"])


def test_a_class_lost_to_conflicts_is_refused(tmp_path: Path) -> None:
    root = tree(tmp_path, {"a": 5, "b": 5})
    (root / "c").mkdir()
    shutil.copy(root / "a" / "a00.png", root / "c" / "only.png")
    assert "E_EMPTY_CLASS: no radiograph is left in class 'c'" in error(root)


def test_an_empty_class_of_a_scheme_is_refused_unless_only_judged(tmp_path: Path) -> None:
    root = tree(tmp_path, {"covid": 5, "normal": 5})
    assert "E_EMPTY_CLASS: no radiograph is left in class 'pneumonia'" in error(
        root, labels="covid-pneumonia-normal"
    )
    judged = build(root, labels="covid-pneumonia-normal", split="test")
    assert judged.classes == ("covid", "pneumonia", "normal")
    assert set(judged.frame["split"]) == {"test"}


def test_one_class_can_only_be_judged_on(tmp_path: Path) -> None:
    root = tree(tmp_path, {"covid": 5})
    assert build(root).info["split"]["kind"] == "test"
    assert "E_ONE_CLASS" in error(root, split="kfold:2")


def test_a_class_of_one_patient_cannot_be_split(tmp_path: Path) -> None:
    root = tree(tmp_path, {"a": 8, "b": 1})
    assert "E_CLASS_TOO_SMALL" in error(root)
    assert len(build(root, split="none")) == 9


def test_hierarchy_and_scheme_are_kept(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        [f"{part}/{name}/{i}.png" for part in ("train", "val", "test") for i in range(3)
         for name in ("normal", "infected/covid", "infected/non-covid")],
    )  # fmt: skip
    cohort = build(root, labels="normal-infected")
    assert cohort.info["hierarchy"] == {"infected": ["non-covid", "covid"]}
    assert cohort.classes == ("normal", "non-covid", "covid")
    assert cohort.info["split"]["kind"] == "predefined"
    assert set(cohort.frame["finding"]) == {"normal", "infected/covid", "infected/non-covid"}
    assert any("the validation set is tiny: 9 pictures" in text for text in cohort.info["caveats"])


def leaking(root: Path) -> Path:
    write_tree(
        root, [f"{part}/{name}/{i}.png" for part in ("train", "test") for name in "ab" for i in range(15)]
    )
    shutil.copy(root / "test" / "a" / "0.png", root / "train" / "a" / "copy.png")
    return root


def test_a_predefined_split_that_leaks_is_refused_allowed_or_mended(tmp_path: Path) -> None:
    root = leaking(tmp_path)
    message = error(root, SplitLeakError)
    assert "E_SPLIT_LEAK" in message
    assert "train/a/copy.png" in message
    allowed = build(root, allow_leak=True)
    assert (allowed.info["split"]["leaked"], allowed.info["split"]["leaking_groups"]) == (True, 1)
    assert allowed.info["caveats"][0].startswith("the split leaks: 1 groups")
    mended = build(root, drop_leaks=True)
    assert codes(mended) == {"E_SPLIT_LEAK": ["s/train/a/copy.png"]}
    assert mended.info["split"]["leaked"] is False
    drawn = build(root, split="patient:0.6,0.2,0.2")
    assert drawn.frame.groupby("group_id")["split"].nunique().max() == 1


def test_validation_is_carved_out_of_the_training_part(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path, [f"{part}/{name}/{i}.png" for part in ("train", "test") for name in "ab" for i in range(20)]
    )
    cohort = build(root, val_from_train=0.2)
    counts = cohort.frame["split"].value_counts().to_dict()
    assert counts == {"test": 40, "train": 32, "val": 8}
    assert any("8 validation pictures were carved" in text for text in cohort.info["caveats"])
    assert len(cohort.part("val")) == 8
    with pytest.raises(CohortError, match="no part of a split"):
        cohort.part("valid")


def two_pictures_a_patient(folder: Path) -> Path:
    """Two classes of eight patients, named as NIH names its files."""
    names = [
        f"{name}/0000{i:04}_{j:03}.png"
        for k, name in enumerate("ab")
        for i in range(k * 50, k * 50 + 8)
        for j in (0, 1)
    ]
    return write_tree(folder, names)


def test_folds_are_grouped(tmp_path: Path) -> None:
    root = two_pictures_a_patient(tmp_path)
    cohort = build(root, split="kfold:4")
    assert cohort.frame["split"].isna().all()
    assert sorted(cohort.frame["fold"].unique()) == [0, 1, 2, 3]
    assert cohort.frame.groupby("patient_id")["fold"].nunique().max() == 1


def test_folds_by_picture_leak_and_are_marked(tmp_path: Path) -> None:
    root = two_pictures_a_patient(tmp_path)
    assert "E_SPLIT_LEAK" in error(root, split="kfold-pictures:4")
    cohort = build(root, split="kfold-pictures:4", allow_leak=True)
    assert cohort.info["split"]["leaked"]
    assert cohort.info["split"]["kind"] == "kfold-pictures:4"
    assert cohort.frame.groupby("patient_id")["fold"].nunique().max() == 2
    assert cohort.frame["fold"].value_counts().tolist() == [8, 8, 8, 8]


def test_filters_see_the_sources_own_columns_and_say_what_they_leave_out(tmp_path: Path) -> None:
    write_tree(tmp_path / "p", [f"{i}.png" for i in range(8)])
    rows = [
        f"p/{i}.png,{'ab'[i % 2]},{i // 2},{'AP' if i < 6 else 'PA'},{20 + i},{'x' if i else 'y'}"
        for i in range(8)
    ]
    (tmp_path / "t.csv").write_text("path,label,patient_id,view,age,scanner\n" + "\n".join(rows))
    cohort = build(tmp_path / "t.csv", where=["view=AP", "scanner=x", "age<=24"], split="none")
    assert cohort.frame["image_id"].tolist() == [f"s/p/{i}.png" for i in (1, 2, 3, 4)]
    assert dict(cohort.dropped[["image_id", "detail"]].to_numpy().tolist()) == {
        "s/p/6.png": "view=AP",
        "s/p/7.png": "view=AP",
        "s/p/0.png": "scanner=x",
        "s/p/5.png": "age<=24",
    }
    assert cohort.info["where"] == ["view=AP", "scanner=x", "age<=24"]
    assert "scanner" not in cohort.frame
    assert "E_NOTHING_LEFT: no radiograph is left after the filter 'age>90'" in error(
        tmp_path / "t.csv", where=["age>90"]
    )


def test_two_sources_share_patients_and_are_warned_about(tmp_path: Path) -> None:
    one = write_tree(tmp_path / "one", [f"covid/{i}.png" for i in range(12)])
    two = tree(tmp_path / "two", {"normal": 12}, first_seed=100)
    shutil.copy(one / "covid" / "0.png", one / "covid" / "again.png")
    cohort = Cohort.from_sources({"one": one, "two": two}, near_copies=False)
    assert cohort.frame["group_id"].nunique() == 24
    assert cohort.info["copies"]["exact_pairs"] == 1
    caveats = " / ".join(cohort.info["caveats"])
    assert "class 'covid' comes from 'one' only" in caveats
    assert "class 'normal' comes from 'two' only" in caveats
    text = summarise(cohort)
    assert "25 radiographs, no known patients, 24 groups" in text
    assert "view: unknown" in text
    assert "caveats:" in text


def test_mistakes_of_the_caller_are_one_line(tmp_path: Path) -> None:
    root = tree(tmp_path / "d", {"a": 3, "b": 3})
    with pytest.raises(CohortError, match="no sources are given"):
        Cohort.from_sources({})
    with pytest.raises(CohortError, match="unknown sources x"):
        Cohort.from_sources({"s": root}, source_options={"x": {}})
    assert "there is no such split" in error(root, split="patients")
    assert "E_SPLIT" in error(root, split="patient:0.7,0.7,0.1")
    assert "E_SPLIT" in error(root, split="predefined")
    assert "did you mean" in error(root, LabelError, labels="binary_covid")
    (tmp_path / "bad.csv").write_text("file,label\nx,y\n")
    assert "lacks the columns path" in error(tmp_path / "bad.csv", TableError)
    many = tree(tmp_path / "many", {f"class{i}": 1 for i in range(51)})
    assert "51 different labels are too many" in error(many)


def test_nothing_readable_names_the_first_reason(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("no picture")
    message = error(tmp_path)
    assert "E_NOTHING_LEFT: no radiograph is left after reading the pictures" in message
    assert "1.png" in message


def test_labels_na_and_none_are_classes(tmp_path: Path) -> None:
    write_tree(tmp_path, [f"{i}.png" for i in range(12)])
    rows = [f"{i}.png,{'NA' if i % 2 else 'None'},{i:03}" for i in range(12)]
    (tmp_path / "t.csv").write_text("path,label,patient_id\n" + "\n".join(rows))
    cohort = build(tmp_path / "t.csv")
    assert cohort.classes == ("NA", "None")
    assert cohort.frame.set_index("image_id")["patient_id"]["s/7.png"] == "s:007"
    again = Cohort.read(cohort.write(tmp_path / "out"))
    assert set(again.frame["label"]) == {"None", "NA"}
