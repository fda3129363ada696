"""A run pruned: the curve, the choice on validation, the saved model, and the one look at the test part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from torch import Tensor

import tiny
from pulmoscope.cli.app import app
from pulmoscope.errors import PulmoscopeError, RunError
from pulmoscope.evaluation import Estimate, read_predictions
from pulmoscope.explanation.pruning import prune
from pulmoscope.explanation.pruning_curve import PrunePoint, choose, pictures_a_second
from pulmoscope.models import HeadSpec, ModelSpec, build_classifier, load_bundle
from pulmoscope.report.figures.pruning_curve import draw_pruning_curve
from pulmoscope.training import parse_recipe
from pulmoscope.workflow import Run
from pulmoscope.workflow.prune_retrain import retrain_recipe
from pulmoscope.workflow.prune_run import prune_run
from small_run import bundle_of, write_small_run


def point(share: float, value: float) -> PrunePoint:
    rate = Estimate(value=value, low=value - 0.03, high=value + 0.03, n=100, method="wilson")
    return PrunePoint(
        share=share,
        kind="smaller",
        removed=1,
        channels=9,
        parameters=99,
        accuracy=rate,
        pictures_a_second=10.0,
    )


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ([0.90, 0.89, 0.87, 0.60], 0.2),
        # On the bound counts; a dip before does not.
        ([0.90, 0.80, 0.87, 0.869], 0.2),
        ([0.90, 0.95, 0.96, 0.99], 0.3),
        ([0.90, 0.50, 0.50, 0.50], 0.0),
    ],
)
def test_the_choice(values: list[float], chosen: float) -> None:
    points = [point(share / 10, value) for share, value in enumerate(values)]
    assert choose(points).share == chosen
    with pytest.raises(PulmoscopeError, match="share 0"):
        choose(points[1:])


def test_a_run_half_of_which_is_silent(tmp_path: Path) -> None:
    run = write_small_run(tmp_path / "run", silent_from=2)
    before = sorted(path.name for path in run.iterdir())
    found = prune_run(run, shares=[0.5], out=tmp_path / "pruned")
    assert sorted(path.name for path in run.iterdir()) == before
    assert [one.share for one in found.points] == [0.0, 0.5]
    whole, half = found.points
    # What was taken out was silent, so that nothing changes but the size.
    assert half.accuracy == whole.accuracy
    assert whole.accuracy.value == Run(run).evaluate("val").accuracy.value
    assert found.chosen is half
    assert half.parameters < 0.35 * whole.parameters
    assert found.measured_on == 16
    assert found.test is not None
    assert found.test.pair("whole", "pruned").differences["accuracy"].difference == 0
    bundle = load_bundle(tmp_path / "pruned" / "model")
    assert bundle.notes["pruned"]["share"] == 0.5
    assert bundle.operating_points
    assert "no difference was shown" in str(found)
    table = read_predictions(tmp_path / "pruned" / "predictions.parquet")
    assert table.splits == ("test", "val")
    wanted = Run(run).predictions.probabilities
    given = table.probabilities
    assert given is not None
    assert wanted is not None
    np.testing.assert_allclose(np.sort(given, axis=0), np.sort(wanted, axis=0), atol=1e-4)
    assert (tmp_path / "pruned" / "pruning.png").stat().st_size > 10_000
    # Again into the same folder, but never over something else.
    with pytest.raises(RunError, match="something else"):
        prune_run(run, shares=[0.5], out=run)


def test_means_are_measured_on_training_pictures(tmp_path: Path) -> None:
    run = write_small_run(tmp_path / "run", batch_norm=True)
    found = prune_run(run, shares=[0.25])
    assert found.measured_on == 16
    assert "set right on 16 training pictures" in str(found)
    assert found.folder == run / "pruned"


def residual_run(folder: Path) -> Path:
    """A small run whose recipe says what its network is."""
    run = write_small_run(folder, batch_norm=True)
    recipe = tiny.RECIPE | {
        "preprocess": {"size": 64, "channels": 1},
        "model": {
            "backbone": "residual_cnn", "weights": "random", "options": {"width": 4, "batch_norm": True},
            "head": {"dropout": 0},
        },
        "train": {"head": {"epochs": 2}, "finetune": {"epochs": 1, "batch": 4, "learning_rate": 0.1, "ema": 0}},
    }  # fmt: skip
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run


def loss(folder: Path) -> float:
    table = read_predictions(folder / "predictions.parquet").part("val")
    assert table.probabilities is not None
    return float(-np.log(table.probabilities[np.arange(len(table)), table.labels]).mean())


def test_a_pruned_network_learns_again(tmp_path: Path) -> None:
    run = residual_run(tmp_path / "run")
    only = prune_run(run, shares=[0.5], out=tmp_path / "only")
    again = prune_run(run, shares=[0.5], retrain=8, out=tmp_path / "again")
    assert [one.parameters for one in again.points] == [one.parameters for one in only.points]
    # The whole network is the run's own: it is not trained again.
    assert again.points[0].accuracy == only.points[0].accuracy
    assert "then trained for 8 epochs" in str(again)
    assert json.loads((tmp_path / "again" / "pruning.json").read_text())["retrained_epochs"] == 8
    assert not list((tmp_path / "again").glob(".retraining*"))
    assert again.chosen.share == 0.5
    assert load_bundle(tmp_path / "again" / "model").notes["pruned"]["retrained_epochs"] == 8
    assert loss(tmp_path / "again") < 0.8 * loss(tmp_path / "only")


def test_an_interrupted_retraining_goes_on_and_is_of_one_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = residual_run(tmp_path / "a" / "run")
    unbroken = prune_run(run, shares=[0.5], retrain=2, out=tmp_path / "unbroken")
    out = tmp_path / "out"

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("pulmoscope.workflow.prune_run.pictures_a_second", stop)
        with pytest.raises(KeyboardInterrupt):
            prune_run(run, shares=[0.5], retrain=2, out=out)
    left = list(out.glob(".retraining-*"))
    assert len(left) == 1
    # Another run, and a plain pruning, may not take what this one left.
    other = residual_run(tmp_path / "b" / "run")
    bundle = load_bundle(other / "model")
    for value in bundle.weights.values():
        if value.is_floating_point():
            value.mul_(1.5)
    bundle.save(other / "model")
    for place, epochs in ((other, 2), (run, 0)):
        with pytest.raises(RunError, match="something else"):
            prune_run(place, shares=[0.5], retrain=epochs, out=out)
    with monkeypatch.context() as spied:
        # Finished epochs are not trained again.
        spied.setattr("pulmoscope.training.finetune.Finetune.training_step", stop)
        resumed = prune_run(run, shares=[0.5], retrain=2, out=out)
    assert resumed.points[1].accuracy == unbroken.points[1].accuracy
    first, second = (load_bundle(folder / "model").weights for folder in (tmp_path / "unbroken", out))
    assert all(bool((first[name] == second[name]).all()) for name in first)
    assert not list(out.glob(".retraining-*"))


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    run = residual_run(tmp_path / "run")
    mine = tmp_path / "mine" / "retraining"
    mine.mkdir(parents=True)
    (mine / "precious.txt").write_text("kept")
    with pytest.raises(RunError, match="something else"):
        prune_run(run, shares=[0.5], out=tmp_path / "mine")
    assert (mine / "precious.txt").read_text() == "kept"


def test_what_cannot_learn_again_says_so(tmp_path: Path) -> None:
    masked = prune(bundle_of(*tiny_network()), 0.5)
    assert masked.kind == "masks"
    with pytest.raises(PulmoscopeError, match="channels are only masked cannot be retrained"):
        retrain_recipe(parse_recipe(tiny.RECIPE, "tiny"), masked, 1)


def tiny_network() -> tuple[ModelSpec, dict[str, Tensor]]:
    spec = ModelSpec(backbone="test_efficientnet", channels=1, size=32, head=HeadSpec(), classes=("a", "b"))
    return spec, build_classifier(spec, seed=0).state_dict()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_small_run(tmp_path / "run", silent_from=2)
    app(
        ["prune", str(run), "--shares", "0,0.5", "--out", str(tmp_path / "out"), "--json"],
        standalone_mode=False,
    )
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((tmp_path / "out" / "pruning.json").read_text())
    assert said["chosen"] == 0.5
    assert said["test"]["pictures"] == 16
    app(["prune", str(run), "--shares", "0", "--out", str(tmp_path / "none")], standalone_mode=False)
    text = capsys.readouterr().out
    assert "test part was not read" in text
    assert text.rstrip().endswith("Research use only.")
    assert not (tmp_path / "none" / "model").exists()
    with pytest.raises(PulmoscopeError, match="no shares"):
        app(["prune", str(run), "--shares", "half"], standalone_mode=False)
    with pytest.raises(PulmoscopeError, match=r"in \[0, 1\)"):
        app(["prune", str(run), "--shares", "1.5"], standalone_mode=False)


def test_speed_and_figure(tmp_path: Path) -> None:
    bundle = Run(write_small_run(tmp_path / "run")).model
    speeds = pictures_a_second([bundle, bundle], np.zeros((4, 64, 64), np.uint8), rounds=2, device="cpu")
    assert all(speed > 1 for speed in speeds)
    points = [point(0.0, 0.9), point(0.5, 0.8)]
    figure = draw_pruning_curve(points, points[1])
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "validation accuracy",
        "parameters",
        "pictures a second",
    ]
    line = figure.axes[1].get_lines()[0]
    assert list(line.get_xdata()) == [0, 50]
