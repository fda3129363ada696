"""Weights in torchxrayvision's layout: DenseNet-121 trained on radiographs (Cohen et al. 2022).

Its networks take one channel in [-1024, 1024], 224 x 224. A state dictionary holds ``features.conv0.weight`` and so on
as torchvision and timm name them, the ``classifier`` of its findings and ``op_threshs``, their operating points; both
are dropped.
"""

from __future__ import annotations

import re

from torch import nn

from pulmoscope.errors import WeightsError
from pulmoscope.models.fitting import fit_by_name
from pulmoscope.models.registry import resolve
from pulmoscope.models.spec import WeightsOrigin
from pulmoscope.models.state_files import file_sha256, find_file, read_state

SIZE = 224
# [-1024, 1024] from [0, 1]: (x - 1/2) * 2048.
MEAN, STD = 0.5, 1 / 2048
_BACKBONE = "densenet121"
# Until PyTorch 0.4 a dense layer's modules were called norm.1 and conv.1.
_OLD_NAME = re.compile(r"(denselayer\d+)\.(norm|conv)\.([12])\.")


def load_xrv(network: nn.Module, backbone: str, weights: str) -> WeightsOrigin:
    """Put weights from ``xrv:file:PATH`` or ``xrv:url:URL#sha256=HEX`` into a DenseNet-121, in place.

    Raises:
        WeightsError: Another backbone, or the file cannot be had, is a pickled model or of another layout.
    """
    if resolve(backbone) != _BACKBONE:
        raise WeightsError(
            "torchxrayvision's weights are of DenseNet-121",
            expected=f"model.backbone={_BACKBONE}",
            got=backbone,
        )
    path, source = find_file(weights.removeprefix("xrv:"))
    state = {_OLD_NAME.sub(r"\1.\2\3.", name): value for name, value in read_state(path).items()}
    if "features.conv0.weight" not in state:
        raise WeightsError(
            f"{path} is not in torchxrayvision's layout",
            expected="features.conv0.weight",
            got=next(iter(state), "nothing"),
        )
    fit_by_name(network, state, str(path))
    name = weights if weights.startswith("xrv:url:") else f"xrv:file:{path.name}"
    return WeightsOrigin(name=name, source=f"torchxrayvision: {source}", sha256=file_sha256(path))
