from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from pulmoscope.errors import BundleError
from pulmoscope.evaluation import Rule, Temperature, choose_threshold
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
    assert (content.pop("calibration"), content.pop("operating_points")) == (None, [])
    content["format"] = 1
    architecture = content["architecture"]
    content["architecture"] = {name: architecture[name] for name in ("backbone", "channels")}
    content["architecture"]["head"] = {name: architecture["head"][name] for name in ("hidden", "dropout")}
    (folder / "model.json").write_text(json.dumps(content))
    again = load_bundle(folder)
    assert again.spec == bundle.spec
    assert (again.views, again.calibration, again.operating_points) == (1, None, ())
    picture = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(bundle.network()(picture), again.network()(picture))


def settled(bundle: Bundle) -> Bundle:
    """With a temperature and a point a class."""
    points = tuple(
        choose_threshold([1, 1, 0], [0.9, 0.3, 0.4], Rule(kind="youden"), name=name)
        for name in bundle.classes
    )
    return dataclasses.replace(
        bundle, calibration=Temperature(value=1.7, classes=2, rows=3), operating_points=points
    )


def test_calibration_and_points_come_back_to_the_last_bit(bundle: Bundle, tmp_path: Path) -> None:
    whole = settled(bundle)
    again = load_bundle(whole.save(tmp_path))
    assert again.calibration == whole.calibration
    assert again.operating_points == whole.operating_points
    assert again.validation_shares == (2 / 3, 2 / 3)
    assert bundle.validation_shares is None


def test_a_bundle_of_format_2_has_neither(bundle: Bundle, tmp_path: Path) -> None:
    folder = bundle.save(tmp_path)
    content = json.loads((folder / "model.json").read_text())
    content["format"] = 2
    del content["calibration"], content["operating_points"]
    (folder / "model.json").write_text(json.dumps(content))
    assert load_bundle(folder).calibration is None


def test_a_new_description_leaves_the_weights_alone(bundle: Bundle, tmp_path: Path) -> None:
    folder = bundle.save(tmp_path)
    before = (folder / "weights.safetensors").stat().st_mtime_ns
    settled(bundle).save_description(folder)
    assert (folder / "weights.safetensors").stat().st_mtime_ns == before
    assert load_bundle(folder).calibration == Temperature(value=1.7, classes=2, rows=3)
    other = {name: value + 1 for name, value in bundle.weights.items()}
    with pytest.raises(BundleError, match="holds other weights"):
        dataclasses.replace(bundle, weights=other).save_description(folder)


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
        (lambda c: c.pop("calibration"), "cannot be read"),
        (lambda c: c.update(calibration={"method": "magic"}), "cannot be read; got E_CALIBRATION"),
        (lambda c: c["calibration"].update(temperature=-1), "recalibration .temperature. is damaged"),
        (lambda c: c["calibration"].update(classes=3), "is of another model; expected 2 classes; got 3"),
        (lambda c: c["operating_points"][0].update(positive="flu"), "operating points are of another model"),
        (lambda c: c["operating_points"][0].pop("rule"), "no stored operating point"),
    ],
)
def test_a_damaged_description_is_refused(
    bundle: Bundle, tmp_path: Path, change: object, message: str
) -> None:
    folder = settled(bundle).save(tmp_path)
    content = json.loads((folder / "model.json").read_text())
    change(content)  # type: ignore[operator]
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="model.json is missing"):
        load_bundle(tmp_path)
