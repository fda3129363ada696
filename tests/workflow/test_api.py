"""The first lines a user writes, as the documentation has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pulmoscope as ps
import tiny
from pulmoscope.errors import LabelError


def test_the_first_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cohort = ps.Cohort.from_sources({"bars": tiny.draw_pictures(tmp_path / "data")}, near_copies=False)
    run = ps.train(tiny.write_recipe(tmp_path), cohort, seed=0)
    assert run.folder == Path("runs/tiny-seed0")
    table = run.predict(split="test")
    assert table.probabilities.shape == (len(table.frame), 3)
    result = ps.evaluate(table, intervals="patient-bootstrap")
    assert "sensitivity" in str(result)
    heat = ps.explain(run.model, cohort[0].image, target="covid", method="grad-cam")
    assert heat.shape == cohort[0].image.shape
    assert 0 <= heat.min() <= heat.max() <= 1
    run.model.save("model/")
    again = ps.Predictor(ps.load_bundle("model/"))
    assert again.predict(cohort[0].image).keys() == set(cohort.classes)
    second = ps.train(tiny.write_recipe(tmp_path), cohort, seed=0)
    assert second.folder == Path("runs/tiny-seed0-2")


def test_a_map_follows_the_evidence(tmp_path: Path) -> None:
    """Grad-CAM by the chain rule, by hand: a backbone whose map is the picture itself."""
    import torch
    from torch import nn

    from pulmoscope.explanation import cam
    from pulmoscope.imaging import Preprocess

    class Identity(nn.Module):
        num_features = 1

        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(1, 1, 1, bias=False)
            nn.init.ones_(self.convolution.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.convolution(x).mean(dim=(2, 3))

    class Toy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = Identity()
            self.head = nn.Linear(1, 2, bias=False)
            nn.init.constant_(self.head.weight, 1.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.backbone(x))

    class Model:
        classes = ("a", "b")
        preprocess = Preprocess(size=32, channels=1, mean=(0.0,), std=(1.0,), aspect="pad")
        made = Toy()

        def network(self) -> Toy:
            return self.made

    image = np.zeros((64, 128), np.float32)
    image[10:20, 90:110] = 1.0
    model = Model()
    heat = cam.explain(model, image, target="a")  # type: ignore[arg-type]
    assert heat.shape == image.shape
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 8 <= row <= 22
    assert 86 <= column <= 114
    assert not any(module._forward_hooks for module in model.made.modules())
    with pytest.raises(LabelError, match="no class"):
        cam.explain(model, image, target="c")  # type: ignore[arg-type]
