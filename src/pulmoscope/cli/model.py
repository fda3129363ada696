"""``pulmoscope model``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from pulmoscope.errors import RecipeError

_ROWS = 60


def model(
    name: Annotated[str | None, typer.Argument(help="A network; without one, all names are listed.")] = None,
    channels: Annotated[int, typer.Option(help="Of the picture, 1 or 3.")] = 1,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the picture in pixels; by default that of its published weights."),
    ] = None,
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 3,
    head: Annotated[str, typer.Option(help="Widths of the hidden layers, as in 128,32.")] = "",
    pool: Annotated[str, typer.Option(help="global, 4x4 or flatten.")] = "global",
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the backbone; repeatable.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every layer, however many.")] = False,
) -> None:
    """Print a network's layers, parameters and input, or list the networks."""
    if name is None:
        _list_names()
        return
    from pulmoscope.models import build_classifier
    from pulmoscope.models.layers import layer_table, parameter_count
    from pulmoscope.models.registry import note_of
    from pulmoscope.models.weights import input_recipe

    size = size if size is not None else input_recipe(name, "imagenet").size
    spec = _spec(name, channels, size, classes, head, pool, option or [])
    network = build_classifier(spec, seed=0)
    table = layer_table(network, size=size, rows=None if all_ else _ROWS)
    print(f"{name}: {note_of(name) or 'a network of timm'}\n")
    rows = [
        (
            one.name,
            one.kind,
            " x ".join(map(str, one.output[1:])) if one.output else "-",
            f"{one.parameters:,}",
        )
        for one in table
    ]
    _print_table(("layer", "kind", "output", "parameters"), rows)
    whole, learning = parameter_count(network)
    backbone, _ = parameter_count(network.backbone)
    print(f"\nparameters: {whole:,} ({learning:,} learn): backbone {backbone:,}, head {whole - backbone:,}")
    print(f"picture: {channels} x {size} x {size}")
    print(_published(name))


def _list_names() -> None:
    from pulmoscope.models import registered, resolve
    from pulmoscope.models.registry import is_custom, note_of, options_of

    rows = []
    for name in registered():
        options = ", ".join(f"{key}={value}" for key, value in options_of(name).items())
        rows.append(
            (name, f"options {options}" if is_custom(name) else f"timm {resolve(name)}", note_of(name))
        )
    _print_table(("name", "built by", "what it is"), rows)
    print("\nAny other name that timm knows is a network too. Details: pulmoscope model NAME")


def _spec(name: str, channels: int, size: int, classes: int, head: str, pool: str, options: list[str]) -> Any:
    import yaml
    from pydantic import ValidationError

    from pulmoscope.models import ModelSpec

    chosen: dict[str, Any] = {}
    for item in options:
        key, equals, value = item.partition("=")
        try:
            if not (key and equals and value):
                raise ValueError("no KEY=VALUE")
            chosen[key.replace("-", "_")] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:
            raise RecipeError(
                f"--option {item!r} cannot be read", code="E_USAGE", expected="KEY=VALUE, as in blocks=4"
            ) from error
    try:
        return ModelSpec.model_validate(
            {
                "backbone": name,
                "options": chosen,
                "size": size,
                "channels": channels,
                "head": {
                    "pool": pool,
                    "hidden": tuple(one.strip() for one in head.split(",") if one.strip()),
                },
                "classes": tuple(f"class {index + 1}" for index in range(classes)),
            }
        )
    except ValidationError as error:
        mistakes = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}, got {one['input']!r}"
            for one in error.errors()
        )
        raise RecipeError(f"no such network: {mistakes}", code="E_USAGE") from error


def _published(name: str) -> str:
    from pulmoscope.models.weights import input_recipe, publisher, where_imagenet

    source = publisher(name)
    if source is None:
        return "ImageNet weights: none are published"
    recipe, here = input_recipe(name, "imagenet"), where_imagenet(name)
    mean, std = (", ".join(f"{one:.4g}" for one in values) for values in (recipe.mean, recipe.std))
    return (
        f"ImageNet weights: {source}; licence {recipe.licence or 'unknown'}; trained on {recipe.size} x {recipe.size}, "
        f"mean {mean}, std {std} on [0, 1]; the grey picture is given {'once' if recipe.channels == 1 else '3 times'}\n"
        f"on this machine: {f'yes, {here}' if here else 'no'}"
    )


def _print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    numeric = head[-1] == "parameters"
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths[:-1], strict=True)]
        print("  ".join([*cells, line[-1].rjust(widths[-1]) if numeric else line[-1]]).rstrip())
