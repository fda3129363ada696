"""Embeddings: PCA against scikit-learn, neighbours that stay neighbours, and a source that can or cannot be guessed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation.embedding import embed, grouped_guess, penultimate, standardised
from pulmoscope.models import CascadeSpec, HeadSpec, ModelSpec, build_classifier, build_network


def three_clouds(count: int = 60, features: int = 8) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 3
    centres = generator.normal(size=(3, features)) * 12
    return (centres[labels] + generator.normal(size=(count, features))).astype(np.float32), labels


def test_pca_is_scikit_learns() -> None:
    features, _ = three_clouds()
    found, note = embed(features, "pca")
    model = PCA(2)
    wanted = model.fit_transform(standardised(features))
    np.testing.assert_allclose(np.abs(found), np.abs(wanted), atol=1e-6)
    first, second = (f"{100 * share:.0f}%" for share in model.explained_variance_ratio_)
    assert f"{first} and {second}" in note


# UMAP compiles itself for ten seconds.
@pytest.mark.parametrize("method", ["pca", "tsne", pytest.param("umap", marks=pytest.mark.slow)])
def test_clouds_stay_apart_and_the_seed_decides(method: str) -> None:
    features, labels = three_clouds()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found, _ = embed(features, method, seed=3)
        # A training that follows in this process must not come out otherwise in its last bits.
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert found.shape == (60, 2)
    distances = np.linalg.norm(found[:, None] - found[None], axis=2) + np.diag(np.full(60, np.inf))
    assert (labels[distances.argmin(axis=1)] == labels).all()
    np.testing.assert_array_equal(found, embed(features, method, seed=3)[0])


def test_features_that_say_nothing_are_refused() -> None:
    with pytest.raises(PulmoscopeError, match="cannot be embedded"):
        embed(np.ones((10, 4), np.float32), "pca")
    with pytest.raises(PulmoscopeError, match="pca, tsne, umap"):
        embed(three_clouds()[0], "mds")


def test_penultimate_is_what_the_last_layer_sees() -> None:
    head = HeadSpec(hidden=(7,), dropout=0.5)
    spec = ModelSpec(
        backbone="plain_cnn", options={"width": 2, "blocks": 2}, channels=1, head=head, classes=("a", "b")
    )
    network = build_classifier(spec, seed=0).train()
    batches = [torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    found = penultimate(network, batches)
    assert found.shape == (4, 7)
    assert network.training
    assert not any(one._forward_pre_hooks for one in network.modules())
    network.eval()
    with torch.no_grad():
        logits = network.head[-1](torch.from_numpy(found))
        torch.testing.assert_close(logits, network(torch.cat(batches)))
    cascade = CascadeSpec(
        first=spec.model_copy(update={"classes": ("x", "node")}),
        second=spec,
        node="node",
        classes=("x", "a", "b"),
    )
    assert penultimate(build_network(cascade, seed=0), batches).shape == (4, 14)


def test_a_source_in_the_features_is_guessed_and_a_patient_is_not_remembered() -> None:
    generator = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 3).astype(str)
    sources = np.where(np.arange(60) % 2 == 0, "north", "south")[np.repeat(np.arange(60), 3)]
    noise = generator.normal(size=(180, 5))
    probabilities, names = grouped_guess(noise + 4 * (sources == "north")[:, None], sources, groups)
    assert names == ("north", "south")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (np.array(names)[probabilities.argmax(axis=1)] == sources).mean() > 0.97
    # Each patient has a mark of its own that says nothing of the source: across patients it must be worthless.
    marks = np.eye(60)[np.repeat(np.arange(60), 3)]
    blind, _ = grouped_guess(marks, sources, groups)
    assert (np.array(names)[blind.argmax(axis=1)] == sources).mean() < 0.65


def test_what_cannot_be_guessed() -> None:
    with pytest.raises(PulmoscopeError, match="nothing to guess"):
        grouped_guess(np.ones((4, 1)), np.array(["a"] * 4), np.arange(4))
    with pytest.raises(PulmoscopeError, match="b in 1"):
        grouped_guess(np.ones((4, 1)), np.array(["a", "a", "b", "b"]), np.array([0, 1, 2, 2]))
