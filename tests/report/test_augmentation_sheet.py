"""The contact sheet: which pictures, what of the recipe is said, what is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from pulmoscope.imaging import Augment, augment
from pulmoscope.report.figures.augmentation import (
    augmented_views,
    choose_rows,
    describe_augmentation,
    draw_augmentation_sheet,
)

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 32, 32)).astype(np.uint8)


def test_rows_are_of_the_training_part_and_even_over_the_classes() -> None:
    frame = pd.DataFrame(
        {
            "image_id": [f"i{number:02}" for number in range(40)],
            "label": ["a"] * 30 + ["b"] * 6 + ["c"] * 4,
            "split": ["train", "test"] * 20,
        }
    )
    rows = choose_rows(frame, 6, 0)
    assert rows["label"].tolist() == ["a", "a", "b", "b", "c", "c"]
    assert set(rows["split"]) == {"train"}
    shuffled = frame.sample(frac=1, random_state=3)
    assert choose_rows(shuffled, 6, 0)["image_id"].tolist() == rows["image_id"].tolist()
    assert choose_rows(frame, 6, 1)["image_id"].tolist() != rows["image_id"].tolist()
    assert len(choose_rows(frame.assign(split="unassigned"), 50, 0)) == 40


def test_views_are_what_augment_gives() -> None:
    recipe = Augment.model_validate("system_c")
    views = augmented_views(PICTURES, recipe, 4, 7)
    assert views.shape == (4, 3, 32, 32, 1)
    generator = torch.Generator().manual_seed(7)
    batch = torch.from_numpy(PICTURES)[:, None].float() / 255
    for view in views:
        np.testing.assert_allclose(view[..., 0], augment(batch, recipe, generator)[:, 0].numpy(), atol=1e-6)
    assert augmented_views(PICTURES, Augment.model_validate("system_a"), 2, 0).shape == (2, 3, 32, 32, 3)
    mixed = augmented_views(PICTURES, Augment(mixup=1), 3, 0)
    assert not np.allclose(mixed[..., 0], PICTURES / 255)


def test_only_what_is_not_default_is_said() -> None:
    assert describe_augmentation(Augment()) == ""
    said = describe_augmentation(Augment(rotate=5, crop_scale=(0.7, 1), hsv_shift=(0.1, 0, 0.2), fill="edge"))
    assert said == "rotate 5, fill edge, crop scale 0.7 to 1, hsv shift 0.1 / 0 / 0.2"


def test_the_sheet_names_views_classes_and_ranges() -> None:
    recipe = Augment.model_validate("system_a")
    views = augmented_views(PICTURES, recipe, 2, 0)
    caption = describe_augmentation(recipe)
    figure = draw_augmentation_sheet(PICTURES, views, ["$a", "b", "c"], title="_T", caption=caption)
    assert [axes.get_title() for axes in figure.axes[:3]] == ["plain", "view 1", "view 2"]
    assert [figure.axes[row * 3].get_ylabel() for row in range(3)] == [r"\$a", "b", "c"]
    said = figure.get_supxlabel().replace("\N{NO-BREAK SPACE}", " ").replace("\n", " ")
    assert said == caption
    drawn = figure.axes[1].images[0].get_array()
    np.testing.assert_allclose(np.asarray(drawn), views[0, 0])
