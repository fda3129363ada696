"""Where a network puts pictures: its penultimate features, and two-dimensional pictures of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pulmoscope.errors import PulmoscopeError
from pulmoscope.models import CascadeClassifier, Classifier

FloatArray = NDArray[np.float64]
_PCA_FIRST = 50
_PERPLEXITY, _NEIGHBOURS = 30.0, 15


def penultimate(
    network: Classifier | CascadeClassifier, batches: Iterable[torch.Tensor]
) -> NDArray[np.float32]:
    """What the last dense layer sees, (N, F); of a cascade that of both stages, side by side.

    Args:
        network: Left as it was.
        batches: Pictures (n, C, S, S) as the network takes them.
    """
    stages = [network.first, network.second] if isinstance(network, CascadeClassifier) else [network]
    seen: list[torch.Tensor] = []
    parts: list[NDArray[np.float32]] = []
    modes = {module: module.training for module in network.modules()}
    handles = []
    try:
        for stage in stages:
            last = [one for one in stage.head.modules() if isinstance(one, nn.Linear)][-1]
            handles.append(last.register_forward_pre_hook(lambda _module, given: seen.append(given[0])))
        network.eval()
        with torch.no_grad():
            for batch in batches:
                seen.clear()
                network(batch)
                parts.append(torch.cat(seen, dim=1).float().cpu().numpy())
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    if not parts:
        raise PulmoscopeError("there is no picture to embed", code="E_MISSING")
    return np.concatenate(parts)


def standardised(features: NDArray[np.float32]) -> FloatArray:
    """Features (N, F) with mean 0 and standard deviation 1 each; those that never change are left out.

    Raises:
        PulmoscopeError: Fewer than 3 pictures, or all features are constant.
    """
    values = features.astype(np.float64)
    spread = values.std(axis=0)
    alive = spread > 1e-9 * max(1.0, float(np.abs(values).max(initial=0)))
    if len(values) < 3 or not alive.any():
        raise PulmoscopeError(
            "the features cannot be embedded",
            code="E_EMBEDDING",
            expected="3 pictures or more that do not all look alike to the network",
            got=f"{len(values)} pictures, {int(alive.sum())} features that change",
        )
    return np.asarray((values[:, alive] - values[:, alive].mean(axis=0)) / spread[alive])


def embed(features: NDArray[np.float32], method: str, *, seed: int = 0) -> tuple[FloatArray, str]:
    """Two coordinates a picture.

    Args:
        features: (N, F), as the network gives them; standardised here.
        method: ``pca`` (Pearson 1901), ``tsne`` (van der Maaten and Hinton 2008, JMLR 9:2579; perplexity 30, begun
            from PCA) or ``umap`` (McInnes et al. 2018, arXiv:1802.03426; 15 neighbours, least distance 0.1). The last
            two see the first 50 components.
        seed: Of what is drawn.

    Returns:
        (N, 2), and a line that says what the axes are.

    Raises:
        PulmoscopeError: No such method, or too few pictures.
    """
    if method not in METHODS:
        raise PulmoscopeError(
            f"there is no embedding {method!r}", code="E_OPTION", expected=", ".join(METHODS)
        )
    return METHODS[method](standardised(features), seed)


def _pca(values: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """The first components (N, k), and each one's share of the variance."""
    left, sizes, right = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    # The sign of a component means nothing; a fixed one makes the picture the same everywhere.
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    return (left * sizes * signs)[:, :count], (sizes**2 / (sizes**2).sum())[:count]


def _by_pca(values: FloatArray, seed: int) -> tuple[FloatArray, str]:
    del seed
    found, shares = _pca(values, 2)
    if found.shape[1] < 2:
        found, shares = np.pad(found, ((0, 0), (0, 1))), np.pad(shares, (0, 1))
    return found, f"PCA: axes hold {100 * shares[0]:.0f}% and {100 * shares[1]:.0f}% of the variance"


def _by_tsne(values: FloatArray, seed: int) -> tuple[FloatArray, str]:
    from sklearn.manifold import TSNE

    # At most a third of the pictures can be neighbours of one.
    perplexity = min(_PERPLEXITY, (len(values) - 1) / 3)
    reduced, _ = _pca(values, _PCA_FIRST)
    model = TSNE(perplexity=perplexity, init="random" if reduced.shape[1] < 2 else "pca", random_state=seed)
    return np.asarray(model.fit_transform(reduced), np.float64), f"t-SNE, perplexity {perplexity:.0f}"


def _by_umap(values: FloatArray, seed: int) -> tuple[FloatArray, str]:
    with warnings.catch_warnings():
        # Its parametric variant, which is not used here, wants Tensorflow.
        warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
        from umap import UMAP  # type: ignore[import-untyped]

    neighbours = min(_NEIGHBOURS, len(values) - 1)
    reduced, _ = _pca(values, _PCA_FIRST)
    # One job is what a fixed seed allows; said so that the library need not warn. Few pictures get a random start.
    start = "spectral" if len(values) > 2 * _NEIGHBOURS else "random"
    model = UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1, init=start)
    # Its compiled loops set the threads of the whole process anew, and with them the last bits of a later training.
    threads = torch.get_num_threads()
    try:
        found = np.asarray(model.fit_transform(reduced), np.float64)
    finally:
        torch.set_num_threads(threads)
    return found, f"UMAP, {neighbours} neighbours"


METHODS: dict[str, Callable[[FloatArray, int], tuple[FloatArray, str]]] = {
    "pca": _by_pca, "tsne": _by_tsne, "umap": _by_umap,
}  # fmt: skip


def grouped_guess(
    features: NDArray[Any], names: NDArray[np.str_], groups: NDArray[Any], *, folds: int = 5, seed: int = 0
) -> tuple[FloatArray, tuple[str, ...]]:
    """How well features give a name away: probabilities by a logistic regression that never saw the group.

    Grouped, stratified cross-validation; within each fold features are standardised on its training part. The
    penalty is scikit-learn's default (C = 1), chosen by nobody.

    Args:
        features: (N, F).
        names: (N,) what is guessed, such as the source.
        groups: (N,) no group stands on both sides.
        folds: At most; fewer where a name has fewer groups.
        seed: Of the folds.

    Returns:
        Probabilities (N, K), each of a regression fitted without the picture's group, and the K names.

    Raises:
        PulmoscopeError: One name only, or a name with fewer than two groups.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = tuple(str(name) for name in np.unique(names))
    counts = {name: len(np.unique(groups[names == name])) for name in known}
    if len(known) < 2 or min(counts.values()) < 2:
        raise PulmoscopeError(
            "there is nothing to guess",
            code="E_GUESS",
            expected="two names or more, each in two groups or more",
            got=", ".join(f"{name} in {count}" for name, count in counts.items()),
        )
    splitter = StratifiedGroupKFold(n_splits=min(folds, *counts.values()), shuffle=True, random_state=seed)
    found = np.zeros((len(names), len(known)))
    for train, held in splitter.split(features, names, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        model.fit(features[train], names[train])
        columns = [known.index(str(name)) for name in model.classes_]
        found[np.ix_(held, columns)] = model.predict_proba(features[held])
    return found, known
