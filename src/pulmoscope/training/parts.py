"""The parts of a recipe that say how a network learns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from pulmoscope.imaging import Augment
from pulmoscope.models import HeadSpec
from pulmoscope.training.selection import check_select

Select = Annotated[str, AfterValidator(check_select)]


class Part(BaseModel):
    """Frozen, and any field that is not known is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelPart(Part):
    """The network: backbone by name, where its weights start, the dense head.

    ``options`` go to the backbone's builder, such as ``{blocks: 4}`` for ``plain_cnn``.
    """

    backbone: str = "tf_efficientnet_lite0"
    options: dict[str, bool | int | float | str] = {}
    weights: str = "imagenet"
    head: HeadSpec = HeadSpec()


class Optimisation(Part):
    """What both stages share: the optimiser, its rate and how the rate moves.

    ``weight_decay`` is decoupled for adamw and an L2 penalty for the others; ``l1`` times the sum of the absolute
    weights, without biases and normalisation, is added to the loss.

    ``schedule`` moves the rate by step: ``constant``; ``cosine`` to 0; ``one-cycle`` (Smith 2018) from 1/25 up and down
    to nearly 0; ``step`` multiplies by ``factor`` every ``step_epochs``; ``inverse-time`` divides by
    1 + t * rate / epochs at step t (Keras's decay of lr/epochs); ``plateau`` multiplies by ``factor`` after
    ``plateau_patience`` epochs in which the validation loss did not fall. ``warmup`` is the fraction of all steps in
    which the rate first rises, linearly, from 0; of one-cycle it is the length of its own rise, 0.3 where it is 0.
    ``gradient_clip`` bounds the gradient's norm; 0 does not. ``momentum`` is of sgd, 0.9 where it is null, and of
    rmsprop, 0 where it is null, as in torch and Keras.
    """

    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    l1: float = Field(default=0.0, ge=0)
    momentum: float | None = Field(default=None, ge=0, lt=1)
    schedule: Literal["constant", "cosine", "one-cycle", "step", "inverse-time", "plateau"] = "cosine"
    warmup: float = Field(default=0.0, ge=0, lt=1)
    step_epochs: int = Field(default=10, ge=1)
    factor: float = Field(default=0.1, gt=0, lt=1)
    plateau_patience: int = Field(default=3, ge=1)
    gradient_clip: float = Field(default=0.0, ge=0)


class HeadStage(Optimisation):
    """Stage 1: the head learns on features of the frozen backbone, computed once.

    ``views`` counts augmented views of every training picture beside the plain one. ``expand`` and ``augment_only``
    choose among them; pictures are not mixed here.
    """

    epochs: int = Field(default=60, ge=0, le=10_000)
    batch: int = Field(default=64, ge=1)
    schedule: Literal["constant", "cosine", "one-cycle", "step", "inverse-time", "plateau"] = "constant"
    patience: int = Field(default=10, ge=1)
    views: int = Field(default=0, ge=0, le=64)


class FinetuneStage(Optimisation):
    """Stage 2: the backbone learns too.

    ``ema`` is the decay per step of the averaged weights that are validated and kept; 0 keeps the plain weights.
    ``frozen`` is the share of the backbone's layers, counted from the picture, that stay as they are. ``backbone_rate``
    multiplies the learning rate of the backbone; the head's is the rate itself.
    """

    epochs: int = Field(default=6, ge=0, le=10_000)
    batch: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    patience: int = Field(default=3, ge=1)
    ema: float = Field(default=0.99, ge=0, lt=1)
    gradient_clip: float = Field(default=1.0, ge=0)
    frozen: float = Field(default=0.0, ge=0, lt=1)
    backbone_rate: float = Field(default=1.0, gt=0, le=10)


class TrainPart(Part):
    """How the network learns.

    Attributes:
        loss: Of the probabilities that the head gives. ``binary-cross-entropy`` judges each class on its own; it goes
            with a sigmoid head, and on a softmax is what Keras computes there.
        focal_gamma: Exponent of the focal loss (Lin et al. 2017).
        class_weights: In the loss. ``balanced`` counts the pictures of an epoch as they are sampled; the validation
            loss goes by the pictures there are.
        label_smoothing: Share of the label spread over all classes.
        sampling: ``over`` repeats pictures of the smaller classes until all are as many as the largest, ``under`` draws
            from the larger as many as the smallest has; both anew each epoch.
        augment_only: Classes whose pictures alone are changed; ``minority`` is the smallest; null changes all.
        expand: Each epoch holds every picture once as it is and ``expand`` - 1 times changed; 1 changes the one.
            Pictures that ``augment_only`` leaves as they are come once.
        limit: At most so many training pictures, drawn by class shares; null takes all.
        select: The validation metric that chooses the epoch: ``val_loss``, ``val_accuracy``, ``val_balanced_accuracy``,
            ``val_macro_f1``, ``val_macro_auroc``; or of one class against the rest ``val_sensitivity:CLASS``,
            ``val_specificity:CLASS``, ``val_f1:CLASS``, ``val_auroc:CLASS``.
        stop: What patience waits for: the metric of ``select``, the validation loss, or the generalisation gap, which
            must come back to its smallest value or to 0. It is the validation loss minus the same loss of at most 512
            training pictures as they are, both by the weights of the epoch's end.
        refit: Train again, from the same start, on training and validation pictures for as many epochs as validation
            chose, at the same rates. The first training is what validation numbers are of.
    """

    loss: Literal["cross-entropy", "focal", "binary-cross-entropy"] = "cross-entropy"
    focal_gamma: float = Field(default=2.0, ge=0, le=10)
    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = "balanced"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    sampling: Literal["none", "over", "under"] = "none"
    augment_only: Literal["minority"] | tuple[str, ...] | None = None
    expand: int = Field(default=1, ge=1, le=16)
    limit: int | None = Field(default=None, ge=2)
    select: Select = "val_loss"
    stop: Literal["select", "val_loss", "gap"] = "select"
    refit: bool = False
    head: HeadStage = HeadStage()
    finetune: FinetuneStage = FinetuneStage()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(default=0, ge=0, description="0 takes every GPU, or one CPU process")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @field_validator("finetune")
    @classmethod
    def _check_epochs(cls, finetune: FinetuneStage, info: ValidationInfo) -> FinetuneStage:
        head = info.data.get("head")
        if finetune.epochs == 0 and head is not None and head.epochs == 0:
            raise ValueError("nothing would be trained: head.epochs and finetune.epochs are both 0")
        return finetune


def check_mixing(augment: Augment, train: TrainPart) -> None:
    """Prove that no picture is mixed with others which must stay as it is.

    Raises:
        ValueError: ``augment`` mixes pictures, and ``train`` shows some of them plain.
    """
    if not augment.mixes:
        return
    mixing = "augment." + ("mixup" if augment.mixup > 0 else "cutmix")
    for field, plain in (("augment_only", train.augment_only is not None), ("expand", train.expand > 1)):
        if plain:
            raise ValueError(
                f"{mixing} and train.{field} do not go together: mixing changes every picture of a batch, "
                f"and train.{field} keeps some as they are; leave one of them out"
            )


class CascadePart(Part):
    """Two networks in a row: the first tells the node of the hierarchy from the other classes, the second its children.

    ``node`` and ``children`` default to the hierarchy of the cohort's label scheme. ``first`` and ``second`` are
    changes to the recipe for one stage, such as ``{model: {backbone: plain_cnn}}``; only ``model``, ``train`` and
    ``augment`` can change, because both stages see the same pictures. ``routing`` is how the trained cascade answers:
    see :class:`pulmoscope.models.CascadeSpec`.
    """

    node: str | None = None
    children: tuple[str, ...] = ()
    first: dict[str, dict[str, Any]] = {}
    second: dict[str, dict[str, Any]] = {}
    routing: Literal["soft", "hard"] = "soft"


class PredictPart(Part):
    """How a trained network answers: ``views`` fixed variations of the picture are averaged; 1 is the picture alone."""

    views: int = Field(default=1, ge=1, le=16)


class EvaluatePart(Part):
    """How the numbers get their intervals, and whether probabilities are mended.

    Attributes:
        replicates: Of the bootstrap.
        calibration: Fitted on the validation predictions after training and stored in the model; ``none`` leaves the
            probabilities as the network gives them.
    """

    replicates: int = Field(default=1000, ge=100, le=100_000)
    calibration: Literal["none", "temperature", "platt", "isotonic"] = "none"


class PublishedNumber(Part):
    """A number that a published report prints, with its source; never one of ours.

    Attributes:
        metric: A name of ours, such as ``accuracy``, ``mean_ovr_accuracy``, ``f1:covid``, ``sensitivity:covid``,
            ``mean_sensitivity``, ``auroc``.
        value: As a fraction.
        split: Which part of its data it was measured on, in words.
        source: Who printed it, and where.
        variant: The variant of the recipe that stands for its model; null for a recipe without variants.
        n: Pictures it was measured on, where the report says.
        data: The collection's name among our readers, where it is one that is public; else in words.
        classes: Number of classes it was measured over, where that could differ from ours.
        comparable: Whether a run on ``data`` measures the same thing.
        note: What a reader must know, such as what the number really is.
    """

    metric: str
    value: float
    split: str
    source: str
    variant: str | None = None
    n: int | None = None
    data: str = ""
    classes: int | None = Field(default=None, ge=2)
    comparable: bool = True
    note: str = ""
