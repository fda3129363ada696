from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pulmoscope.errors import RunError
from pulmoscope.evaluation import evaluate, read_predictions
from pulmoscope.files import write_json
from pulmoscope.report import write_report

MakeRun = Callable[..., Path]
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def _small_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is judged here, not its pictures: fewer dots make them quick."""
    monkeypatch.setattr("pulmoscope.report.style.DPI", 30)


class Page(HTMLParser):
    """Tags, ids, attributes and text of a page; figures' data left out."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self._text: list[str] = []
        self.source = path.read_text("utf-8")
        self.feed(self.source)
        self.text = re.sub(r"\s+", " ", " ".join(self._text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids.append(value or "")

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self._text.append(data)


def edit_metrics(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text("utf-8"))
    change(metrics)
    path.write_text(json.dumps(metrics), "utf-8")


def drawn(folder: Path) -> int:
    """Figures that were drawn: each stands on the page."""
    return len(list((folder / "figures").glob("*.png")))


def test_a_whole_run(make_run: MakeRun) -> None:
    folder = make_run()
    path = write_report(folder)
    assert path == folder / "report.html"
    page = Page(path)
    order = ["caveats", "results", "classes", "confusion", "roc", "reliability", "calibration", "operating",
             "decision", "uncertainty", "subgroups", "validation", "pictures", "data",
             "dropped", "split", "training", "environment", "reproduce", "licences"]  # fmt: skip
    assert [name for name in page.ids if name in order] == order
    assert page.text.count("Research use only. Not a diagnostic device.") == 2
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))["test"]
    value = metrics["accuracy"]
    assert f"{value['value']:.3f} ({value['low']:.3f}-{value['high']:.3f})" in page.text
    assert "pulmoscope train default --cohort" in page.text
    assert "3 of fine-tuning, by val_loss 0.276" in page.text
    assert "Apache-2.0" in page.text
    assert "CC BY 4.0" in page.text
    assert page.tags.count("img") == drawn(folder) >= 6
    assert all(alt for tag, name, alt in page.attributes if tag == "img" and name == "alt")


def test_nothing_from_outside(make_run: MakeRun) -> None:
    page = Page(write_report(make_run()))
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), tag
        if name in {"src", "href", "srcset", "action", "data", "poster"}:
            assert value.startswith(("data:image/png;base64,", "#"))
    assert "url(" not in page.source
    assert "@import" not in page.source
    policy = next(
        v for tag, name, v in page.attributes if tag == "meta" and name == "content" and "default-src" in v
    )
    assert "default-src 'none'" in policy
    assert "img-src data:" in policy
    assert "style-src 'unsafe-inline'" in policy


def test_text_from_data_is_escaped(make_run: MakeRun) -> None:
    classes = (HOSTILE, "<img src=x onerror=alert(2)>", "normal")
    names = dict(zip(("covid", "non-covid", "normal"), classes, strict=True))

    def rename(frame: pd.DataFrame) -> pd.DataFrame:
        frame["source"] = "<img onerror>\"'"
        frame["licence"] = "<b>free</b>"
        frame["image_id"] = "<svg onload=alert(3)>/" + frame["image_id"]
        return frame

    info = {
        "sources": {
            "<img onerror>\"'": {
                "path": "/x",
                "kind": "<i>",
                "notes": ["<u>note</u> about covid: viral pneumonia"],
            }
        },
        "dropped": {"<style>*{display:none}</style>": 2},
        "caveats": ["</p><script>alert(4)</script>"],
        "where": ["view=<a href=javascript:alert(5)>"],
    }
    command = "pulmoscope train '</code><script>alert(6)</script>'"
    folder = make_run(rename, classes=classes, info=info, environment={"command": command, "device": "<hr>"})
    page = Page(write_report(folder))
    assert names["covid"] in page.text
    assert "<img onerror>" in page.text
    assert not {"script", "svg", "b", "i", "u", "a", "hr"} & (set(page.tags) - {"b"})
    assert page.tags.count("img") == drawn(folder)
    assert page.tags.count("style") == 1
    assert "svg onload" not in page.source  # picture names are not on the page at all


def test_null_is_undefined_and_never_zero(make_run: MakeRun) -> None:
    folder = make_run()

    def forget(metrics: dict[str, Any]) -> None:
        nothing = {"value": None, "low": None, "high": None}
        metrics["test"]["macro_auroc"] = nothing
        metrics["test"]["classes"]["covid"]["ppv"] = nothing

    edit_metrics(folder, forget)
    page = Page(write_report(folder))
    assert "Macro AUROC undefined" in page.text
    assert "Undefined here: ppv of covid, macro auroc." in page.text
    assert "None" not in page.text
    assert "nan" not in page.text.lower().split()


def test_leaked_split_gets_a_banner(make_run: MakeRun) -> None:
    clean = Page(write_report(make_run()))
    assert 'class="banner"' not in clean.source
    leaked = Page(
        write_report(make_run(info={"split": {"kind": "predefined", "leaked": True, "leaking_groups": 12}}))
    )
    assert 'class="banner"' in leaked.source
    assert "This split leaks. 12 groups" in leaked.text
    assert leaked.text.index("This split leaks") < leaked.text.index("Results on the test part")


def test_folds_have_a_table_with_mean_and_spread(make_run: MakeRun) -> None:
    folder = make_run()

    def fold(metrics: dict[str, Any]) -> None:
        rows = []
        for number, accuracy in enumerate((0.80, 0.90, 0.85)):
            part = copy.deepcopy(metrics["test"])
            part["accuracy"]["value"] = accuracy
            rows.append({"fold": number, "test": part})
        metrics["folds"] = rows
        del metrics["val"]

    edit_metrics(folder, fold)
    (folder / "history.csv").unlink()
    page = Page(write_report(folder))
    assert "folds" in page.ids
    assert "0.850 ± 0.050" in page.text
    assert "pooled over 3 folds" in page.text
    assert "validation" not in page.ids


def test_an_external_evaluation_has_no_training(make_run: MakeRun) -> None:
    folder = make_run(
        lambda frame: frame.assign(split="test"),
        info={"split": {"kind": "external", "leaked": False}},
        metrics={},
    )
    predictions = read_predictions(folder / "predictions.parquet")
    (folder / "metrics.json").write_text(
        json.dumps({"test": evaluate(predictions, split="test", replicates=200).as_dict()})
    )
    for name in ("history.csv", "recipe.yaml", "environment.json", "model"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(folder / "figures", ignore_errors=True)
    page = Page(write_report(folder))
    assert not {"training", "environment", "validation", "folds"} & set(page.ids)
    assert {"caveats", "results", "roc", "pictures", "data"} <= set(page.ids)
    assert "external evaluation" in page.text
    assert page.tags.count("img") == drawn(folder)


def test_predictions_alone_are_enough(make_run: MakeRun) -> None:
    folder = make_run()
    for path in folder.iterdir():
        if path.name not in {"predictions.parquet", "metrics.json"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = Page(write_report(folder))
    assert {"results", "confusion", "roc", "reliability"} <= set(page.ids)
    assert not {"data", "training", "pictures", "licences"} & set(page.ids)


def test_the_validation_part_can_be_reported(make_run: MakeRun) -> None:
    page = Page(write_report(make_run(), part="val"))
    assert "Results on the validation part" in page.text


def test_copies_across_sources_are_said(make_run: MakeRun) -> None:
    across = [{"source": "hannover", "other": "cohen", "pictures": 71}]
    copies = {
        "near_copies_sought": True,
        "exact_pairs": 2,
        "near_pairs": 71,
        "across_sources": across,
        "notes": [],
    }
    page = Page(
        write_report(make_run(info={"copies": copies, "dropped": {"E_MISSING: the file is not there": 7}}))
    )
    assert "71 pictures of hannover stand in cohen too" in page.text
    assert "left out (the file is not there: 7)" in page.text


def test_a_run_that_was_resumed_says_what_its_time_and_threads_are_of(make_run: MakeRun) -> None:
    run = make_run()
    whole = Page(write_report(run)).text
    assert "2 threads" in whole
    assert "resumed" not in whole
    environment = json.loads((run / "environment.json").read_text())
    write_json(run / "environment.json", environment | {"threads_of_starts": [2, 1]})
    page = Page(write_report(run)).text
    assert "2, then 1 threads" in page
    assert ", since it was last resumed" in page


def test_a_part_that_is_not_there(make_run: MakeRun) -> None:
    with pytest.raises(RunError, match="no part 'other'; expected one of val, test"):
        write_report(make_run(), part="other")


def test_torn_files_are_named(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "environment.json").write_text('{"python": ', "utf-8")
    with pytest.raises(RunError, match=r"environment\.json cannot be read"):
        write_report(folder)


def test_a_picture_that_has_gone_does_not_stop_the_report(make_run: MakeRun) -> None:
    folder = make_run(lambda frame: frame.assign(path="/nowhere/gone.png"))
    assert Page(write_report(folder)).tags.count("img") == drawn(folder)


def test_real_radiographs(make_run: MakeRun, real_data: Path) -> None:
    files = sorted((real_data / "kermany150" / "test").rglob("*.jpg"))
    folder = make_run(
        lambda frame: frame.assign(path=[str(files[i % len(files)]) for i in range(len(frame))])
    )
    page = Page(write_report(folder))
    assert page.tags.count("img") == drawn(folder)
    assert str(real_data) not in page.source
