from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from pulmoscope.errors import BundleError
from pulmoscope.imaging import Preprocess
from pulmoscope.models import Bundle, HeadSpec, ModelSpec, WeightsOrigin, build_classifier, load_bundle


@pytest.fixture
def bundle() -> Bundle:
    spec = ModelSpec(backbone="resnet18", channels=1, head=HeadSpec(), classes=("normal", "covid"))
    network = build_classifier(spec, seed=3)
    return Bundle(
        spec=spec,
        preprocess=Preprocess(size=64, channels=1, mean=(0.4,), std=(0.3,)),
        weights=network.state_dict(),
        origin=WeightsOrigin(name="random", source="seed"),
        notes={"seed": 3},
    )


def test_a_bundle_comes_back_with_equal_outputs(bundle: Bundle, tmp_path: Path) -> None:
    again = load_bundle(bundle.save(tmp_path / "model"))
    picture = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(bundle.network()(picture), again.network()(picture))
    assert again.classes == ("normal", "covid")
    assert again.preprocess == bundle.preprocess
    assert again.notes == {"seed": 3}
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["model.json", "weights.safetensors"]


def test_a_bundle_of_format_1_is_read_as_before(bundle: Bundle, tmp_path: Path) -> None:
    folder = bundle.save(tmp_path)
    content = json.loads((folder / "model.json").read_text())
    assert (content.pop("kind"), content.pop("predict")) == ("classifier", {"views": 1})
    content["format"] = 1
    architecture = content["architecture"]
    content["architecture"] = {name: architecture[name] for name in ("backbone", "channels")}
    content["architecture"]["head"] = {name: architecture["head"][name] for name in ("hidden", "dropout")}
    (folder / "model.json").write_text(json.dumps(content))
    again = load_bundle(folder)
    assert again.spec == bundle.spec
    assert again.views == 1
    picture = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(bundle.network()(picture), again.network()(picture))


def test_weights_of_another_architecture_are_one_clear_error(bundle: Bundle) -> None:
    other = bundle.spec.model_copy(update={"backbone": "resnet34"})
    with pytest.raises(BundleError, match="do not fit the architecture"):
        dataclasses.replace(bundle, spec=other).network()


def test_one_flipped_bit_is_found(bundle: Bundle, tmp_path: Path) -> None:
    folder = bundle.save(tmp_path)
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "weights.safetensors").write_bytes(content)
    with pytest.raises(BundleError, match="not the file that model.json describes"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=99), "another format"),
        (lambda c: c.pop("classes"), "cannot be read"),
        (lambda c: c["preprocess"].update(size="big"), "cannot be read"),
        (lambda c: c.update(kind="oracle"), "cannot be read"),
        (lambda c: c["predict"].update(views=0), "cannot be read"),
    ],
)
def test_a_damaged_description_is_refused(
    bundle: Bundle, tmp_path: Path, change: object, message: str
) -> None:
    folder = bundle.save(tmp_path)
    content = json.loads((folder / "model.json").read_text())
    change(content)  # type: ignore[operator]
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="model.json is missing"):
        load_bundle(tmp_path)
