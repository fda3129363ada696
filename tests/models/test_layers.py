from __future__ import annotations

import pytest

from pulmoscope.errors import RecipeError
from pulmoscope.models import HeadSpec, ModelSpec, build_classifier, freeze
from pulmoscope.models.layers import layer_table, parameter_count


def classifier(backbone: str, **options: bool | int | float | str):  # type: ignore[no-untyped-def]
    spec = ModelSpec(
        backbone=backbone, options=options, size=150, channels=1, classes=("a", "b", "c"),
        head=HeadSpec(pool="flatten", hidden=(64,)),
    )  # fmt: skip
    return build_classifier(spec, seed=0)


def test_the_table_of_system_c_by_hand() -> None:
    network = classifier("plain_cnn", blocks=5, batch_norm=False)
    convolutions = [row for row in layer_table(network, size=150) if row.kind == "Conv2d"]
    assert [row.output for row in convolutions] == [
        (1, 16, 148, 148), (1, 32, 72, 72), (1, 64, 34, 34), (1, 128, 15, 15), (1, 256, 5, 5)
    ]  # fmt: skip
    assert [row.parameters for row in convolutions] == [160, 4640, 18496, 73856, 295168]
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("rows", [None, 60, 8, 1])
@pytest.mark.parametrize("backbone", ["plain_cnn", "resnet18", "vit_tiny_patch16_224"])
def test_the_rows_add_up_at_every_depth(backbone: str, rows: int | None) -> None:
    spec = ModelSpec(backbone=backbone, channels=1, head=HeadSpec(hidden=(8,)), classes=("a", "b"))
    network = build_classifier(spec, seed=0)
    table = layer_table(network, size=224, rows=rows)
    assert sum(row.parameters for row in table) == parameter_count(network)[0]
    assert rows is None or len(table) <= max(rows, 2)


def test_what_learns_is_counted() -> None:
    network = classifier("plain_cnn", blocks=3, batch_norm=False)
    freeze(network.backbone, 1)
    whole, learning = parameter_count(network)
    head = 64 * 17 * 17 * 64 + 64 + 64 * 3 + 3
    assert (whole, learning) == (160 + 4640 + 18496 + head, head)


def test_pictures_that_are_too_small_are_refused() -> None:
    with pytest.raises(RecipeError, match="cannot take pictures of 20 x 20"):
        layer_table(classifier("plain_cnn"), size=20)
