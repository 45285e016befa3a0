"""Hugging Face's DETR family as T, on tiny random models in folders as the library writes them."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainers.detectors import TargetError, build, load, model_file
from trainers.detectors.backbones import WeightsError
from trainers.detectors.base import giving_losses, training_loss
from trainers.detectors.model_file import Model
from trainers.player import frozen

SIZE = (64, 96)
CLASSES = ("__background__", "cup", "mug")
FAMILY = ("Detr", "ConditionalDetr", "RTDetr")


def folder(path: Path, kind: str) -> str:
    """A model for four classes, with its processor; the name of T that it is."""
    widths: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16]}
    widths |= {"depths": [1, 1, 1, 1], "layer_type": "basic"}
    small: dict[str, Any] = {"d_model": 16, "num_queries": 6, "num_labels": 4, "encoder_layers": 1}
    for part in ("encoder", "decoder"):
        small |= {f"{part}_attention_heads": 2, f"{part}_ffn_dim": 16}
    small["decoder_layers"] = 2
    if kind == "RTDetr":
        backbone = transformers.RTDetrResNetConfig(
            **widths, out_features=["stage2", "stage3", "stage4"]
        )
        small |= {"encoder_hidden_dim": 16, "encoder_in_channels": [8, 16, 16]}
        small |= {"decoder_in_channels": [16] * 3, "num_denoising": 4}
    else:
        backbone = transformers.ResNetConfig(**widths, out_features=["stage4"])
        small |= {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
    config = getattr(transformers, f"{kind}Config")(backbone_config=backbone, **small)
    torch.manual_seed(0)
    model = transformers.AutoModelForObjectDetection.from_config(config)
    with torch.no_grad():  # no two scores or boxes alike
        for name, parameter in model.named_parameters():
            if "class" in name or "bbox" in name or "query" in name:
                parameter.normal_()
    model.save_pretrained(path)
    getattr(transformers, f"{kind}ImageProcessor")().save_pretrained(path)
    return f"hf:{path}"


def made(name: str, weights: str = "default", heads: Any = "kept", classes: Any = CLASSES) -> Any:
    torch.manual_seed(1)
    return build(name, classes, weights, SIZE, "--target.weights", heads)


def target(*boxes: list[float]) -> dict[str, Tensor]:
    n = len(boxes)
    labels, ignore = torch.full((n,), 2), torch.zeros(n, dtype=torch.bool)
    return {"boxes": torch.tensor(boxes).reshape(n, 4), "labels": labels, "ignore": ignore}


@pytest.mark.parametrize("kind", FAMILY)
def test_weights_are_the_folders_but_for_the_class_layers(tmp_path: Path, kind: str) -> None:
    name = folder(tmp_path, kind)
    wanted = transformers.AutoModelForObjectDetection.from_pretrained(tmp_path).state_dict()
    state = made(name).network.state_dict()
    assert state.keys() == wanted.keys()
    other = {key for key, value in wanted.items() if not torch.equal(value, state[key])}
    assert other and all("class" in key or "score" in key for key in other)
    alike = made(name, classes=("__background__", *"abcd")).network.state_dict()
    assert all(torch.equal(value, alike[key]) for key, value in wanted.items())
    of_backbone = made(name, heads="random").network.state_dict()
    same = {key for key, value in wanted.items() if torch.equal(value, of_backbone[key])}
    convolutions = {key for key in wanted if "conv" in key and "backbone" in key}
    assert convolutions and convolutions < same
    assert not any("query" in key or "decoder.layers.0.fc1.weight" in key for key in same)


@pytest.mark.parametrize("kind", FAMILY)
def test_detections_are_its_processors(tmp_path: Path, kind: str) -> None:
    """As its users call it, with pictures that are not resized."""
    name, images = folder(tmp_path, kind), torch.rand(2, 3, *SIZE)
    images = (images * 255).round() / 255
    detector = made(name, classes=("__background__", *"abcd")).eval()
    model = transformers.AutoModelForObjectDetection.from_pretrained(tmp_path).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    levels = list((images * 255).round().byte())
    with torch.no_grad():
        inputs = processor(levels, return_tensors="pt", do_resize=False)
        outputs = model(**inputs)
        found = detector.predict(images)
    wanted = processor.post_process_object_detection(outputs, 0.0, target_sizes=[SIZE] * 2)
    for one, other in zip(found, wanted, strict=True):
        assert len(one["scores"].unique()) > 4
        torch.testing.assert_close(one["scores"], other["scores"], rtol=1e-4, atol=1e-5)
        assert torch.equal(one["labels"], other["labels"] + 1)
        sides = torch.tensor([96.0, 64, 96, 64])
        clipped = other["boxes"].clamp_min(0).minimum(sides)
        torch.testing.assert_close(one["boxes"], clipped, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", FAMILY)
def test_the_loss_is_the_models_and_reaches_images_and_boxes(tmp_path: Path, kind: str) -> None:
    name = folder(tmp_path, kind)
    detector = made(name).train()
    images = torch.rand(2, 3, *SIZE, requires_grad=True)
    boxes = torch.tensor([[19.2, 16.0, 48.0, 48.0]], requires_grad=True)
    targets = [{**target([0.0] * 4), "boxes": boxes}, target()]
    with frozen(detector), giving_losses(detector, "eval"):
        loss = training_loss(detector, images, targets)
        loss.backward()
        processor, model = detector._processor, detector.network
        mean, std = (torch.tensor(v)[:, None, None] for v in (
            processor.image_mean, processor.image_std,
        ))  # fmt: skip
        levels = (images - mean) / std if kind != "RTDetr" else images
        labels = [
            {"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.35, 0.5, 0.3, 0.5]])},
            {"class_labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)},
        ]
        wanted = model(pixel_values=levels, labels=labels).loss
    torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=1e-5)
    assert images.grad is not None and (images.grad.flatten(1).abs().amax(1) > 0).all()
    assert boxes.grad is not None and bool((boxes.grad != 0).all())
    assert all(p.grad is None for p in detector.parameters())


@pytest.mark.parametrize("kind", FAMILY)
def test_model_pt_needs_no_folder(tmp_path: Path, kind: str) -> None:
    name, images = folder(tmp_path / "folder", kind), torch.rand(2, 3, *SIZE)
    detector, path = made(name).eval(), tmp_path / "model.pt"
    state, frozen_norms = detector.weights()
    model_file.write(
        path, Model(name, dict(detector.options), CLASSES, SIZE, frozen_norms, {}, state)
    )
    shutil.rmtree(tmp_path / "folder")
    loaded = load(path)
    with torch.no_grad():
        wanted = detector.predict(images)
    for one, other in zip(loaded.predict(images), wanted, strict=True):
        assert len(one["boxes"]) > 0
        assert all(torch.equal(one[key], value) for key, value in other.items())
    assert loaded.network.network.config.id2label == {0: "cup", 1: "mug"}
    again = made(name, str(path), classes=CLASSES[:2])
    assert again.network.config.num_labels == 1
    with pytest.raises(WeightsError, match="is of hf:.*/folder, wanted weights of hf:other"):
        made("hf:other", str(path))


def test_what_is_no_detector_is_refused_in_a_line(tmp_path: Path) -> None:
    def line(name: str, weights: str = "default", heads: Any = "kept") -> str:
        with pytest.raises((TargetError, WeightsError)) as caught:
            made(name, weights, heads)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    wanted = "target.network: hf:facebook/detr: cannot be loaded (wanted a local folder)"
    assert line("hf:facebook/detr") == wanted
    (tmp_path / "empty").mkdir()
    assert f"hf:{tmp_path}/empty: cannot be loaded (" in line(f"hf:{tmp_path}/empty")
    name = folder(tmp_path / "detr", "Detr")
    torch.save({"a": torch.ones(1)}, tmp_path / "state.pth")
    assert "does not fit DetrForObjectDetection: " in line(name, str(tmp_path / "state.pth"))
    (tmp_path / "detr" / "model.safetensors").write_bytes(b"no")
    assert f"{name}: cannot be loaded (" in line(name)
    assert made(name, "none").network.config.num_labels == 2
    yolos = transformers.YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=list(SIZE), patch_size=16, num_detection_tokens=5,
    )  # fmt: skip
    yolos.save_pretrained(tmp_path / "yolos")
    transformers.YolosImageProcessor().save_pretrained(tmp_path / "yolos")
    name = f"hf:{tmp_path}/yolos"
    assert "got 'random', wanted 'kept', as nothing of Yolos" in line(name, "none", "random")
    transformers.ViTImageProcessor().save_pretrained(tmp_path / "yolos")
    assert line(name, "none").endswith("its ViTImageProcessor gives no boxes, wanted a detector's")


def test_weights_that_a_folder_lacks_are_not_made_up(tmp_path: Path) -> None:
    name, path = folder(tmp_path, "Detr"), tmp_path / "model.safetensors"
    whole, key = load_file(path), "bbox_predictor.layers.0.weight"
    for held, why in (
        ({}, f"lacks 1 of its weights, {key}"),
        ({key: whole[key][:1]}, "mismatched"),
    ):
        save_file({k: v for k, v in whole.items() if k != key} | held, path, {"format": "pt"})
        with pytest.raises(TargetError, match=f"cannot be loaded .*{why}"):
            made(name)


@pytest.mark.parametrize("kind", FAMILY)
def test_s_sees_t_without_noise_and_t_learns_with_it(tmp_path: Path, kind: str) -> None:
    """Dropout that is no layer, and RT-DETR's queries for denoising."""
    detector = made(folder(tmp_path, kind))
    images, targets = torch.rand(1, 3, *SIZE), [target([19.2, 16.0, 48.0, 48.0])]
    for mode in ("eval", "train"):
        with frozen(detector), giving_losses(detector, mode):
            first, second = (float(training_loss(detector, images, targets)) for _ in range(2))
        assert (first == second) == (mode == "eval")
