"""NanoDet, the example of a detector of one's own."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compositor.selection.detector import detect, labels_by_name, load
from tests.examples.commands import EXAMPLES, ROOT

SPEC = f"{EXAMPLES / 'nanodet.py'}:load"
DATA = Path(os.environ.get("COMPOSITOR_DATA", ROOT.parent / "shared" / "data"))
"""Where the real weights and pictures are, if they are there."""


@pytest.mark.skipif(not (DATA / "nanodet").is_dir(), reason=f"no nanodet in {DATA}")
def test_reference():
    """What the graph itself found, run by others: see the data's README."""
    detector = load(SPEC, DATA / "nanodet")
    reference = json.loads((DATA / "nanodet" / "reference.json").read_text())
    people = 0
    for name, wanted in reference.items():
        with Image.open(DATA / "VOCdevkit" / "VOC2007" / "JPEGImages" / f"{name}.jpg") as picture:
            size = picture.size
            levels = np.array(picture.convert("RGB").resize((416, 416), Image.Resampling.BILINEAR))
        image = torch.from_numpy(levels).permute(2, 0, 1)[None] / 255
        network = detector.network
        with torch.no_grad():
            heads = network(image)
        sums = [float(logits.double().sum()) for logits, _ in heads]
        assert sums == pytest.approx(wanted["class_logit_sums"], rel=1e-5)
        (found,) = detect(detector, image)
        shown = (found["labels"] == 0) & (found["scores"] > 0.3)
        assert int(shown.sum()) == len(wanted["people"])
        for box, score, person in zip(
            found["boxes"][shown], found["scores"][shown], wanted["people"], strict=True
        ):
            there = np.clip(person["box_in_416"], 0, 416)  # the reference's may reach beyond
            np.testing.assert_allclose(box, there, rtol=0, atol=0.1)
            assert abs(float(score) - person["score"]) < 0.002
        people += len(wanted["people"])
        # In the picture's own pixels, when it is stretched by the detector itself.
        original = torch.nn.functional.interpolate(image, size[::-1], mode="bilinear")
        boxes = detect(detector, original)[0]["boxes"]
        assert boxes[:, 0::2].max() <= size[0] and boxes[:, 1::2].max() <= size[1]
    assert people == 3


@pytest.fixture
def folder(tmp_path):
    """A narrow network with random weights in NanoDet's files."""
    random = np.random.default_rng(0)
    nodes, manifest, data = [], [], b""

    def tensor(name, shape):
        nonlocal data
        values = random.normal(0, 0.3, shape).astype(np.float16)
        quantization = {"dtype": "float16", "original_dtype": "float32"}
        entry = {"name": name, "shape": list(shape), "dtype": "float32"}
        manifest.append(entry | {"quantization": quantization})
        data += values.tobytes()
        return {"name": name, "op": "Const"}

    for index, (inputs, outputs, size, stride) in enumerate(LAYERS):
        end = f"_{index}" if index else ""
        manifest.append({"name": f"padding{end}", "shape": [4, 2], "dtype": "int32"})
        data += np.arange(8, dtype=np.int32).tobytes()
        nodes.append(tensor(f"split{end}", (size, size, inputs, outputs)))
        nodes.append(tensor(f"bias{end}", (outputs,)))
        strides = {"list": {"i": ["1", str(stride), str(stride), "1"]}}
        convolution = {"name": f"Call/convolution{end}", "op": "Conv2D"}
        ends = {"input": ["before", f"split{end}"], "attr": {"strides": strides}}
        nodes.append(convolution | ends)
        ends = {"input": [f"Call/convolution{end}", f"bias{end}"]}
        nodes.append({"name": f"Call/Add{end}", "op": "Add"} | ends)
    random.shuffle(nodes)
    groups = [{"paths": ["nanodet.bin"], "weights": manifest}]
    graph = {"modelTopology": {"node": nodes}, "weightsManifest": groups}
    (tmp_path / "nanodet.json").write_text(json.dumps(graph))
    (tmp_path / "nanodet.bin").write_bytes(data)
    return tmp_path


def stage(inputs, width, blocks, stride):
    half = width // 2
    pairs = [(width, half, 3, 1), (half, half, 3, 1)] * blocks
    return [(inputs, width, 3, stride), *pairs, (width, width, 3, 1)]


LAYERS = [
    (3, 4, 3, 2),
    *stage(4, 4, 1, 1),
    *stage(8, 8, 2, 2),
    *stage(16, 16, 2, 2),
    *stage(32, 32, 3, 2),
    *((width, 6, 1, 1) for width in (16, 32, 64)),
    *[(6, 6, 3, 1), (6, 124, 1, 1)] * 3,
]
"""Inputs, outputs, side and stride of each convolution, a few channels wide."""


def test_files_are_read(folder):
    """Halves (height, width, in, out) between integers; nodes count by their numbers."""
    detector = load(SPEC, folder)
    layers = [layer for layer in detector.network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(layers) == len(LAYERS) == 34
    random = np.random.default_rng(0)
    for layer, (inputs, outputs, size, stride) in zip(layers, LAYERS, strict=True):
        weight = random.normal(0, 0.3, (size, size, inputs, outputs)).astype(np.float16)
        bias = random.normal(0, 0.3, outputs).astype(np.float16)
        assert layer.stride == (stride, stride) and layer.padding == (size // 2, size // 2)
        np.testing.assert_array_equal(layer.weight.detach(), weight.transpose(3, 2, 0, 1))
        np.testing.assert_array_equal(layer.bias.detach(), bias)
    image = torch.rand(2, 3, 50, 90)
    maps = detector.network(torch.rand(2, 3, 64, 96))
    assert [logits.shape for logits, _ in maps] == [(2, 80, 8, 12), (2, 80, 4, 6), (2, 80, 2, 3)]
    for found in detect(detector, image):
        assert len(found["scores"]) == 100 and int(found["labels"].max()) < 80
    assert labels_by_name(detector, ("", "person", "toothbrush")) == [0, 0, 79]


def test_box_by_hand(folder):
    """One cell of stride 32, whose sides' distances are averages of 0 and 1 stride."""
    detector = load(SPEC, folder)
    with torch.no_grad():
        for parameter in detector.network.parameters():
            parameter.zero_()
        for _, _, head in detector.network.heads:
            head.bias[:80] = -9
            head.bias[80:] = -99
        head.bias[7] = 2  # the last head's
        for side, share in enumerate((0.25, 0.5, 0.125, 0.4)):  # left, top, right, bottom
            bins = head.bias[80 + 11 * side :]
            bins[0], bins[1] = torch.tensor((1 - share, share)).log()
    (found,) = detect(detector, torch.rand(1, 3, 32, 32))
    assert found["labels"].tolist() == [7] == labels_by_name(detector, ("", "truck"))[1:]
    assert float(found["scores"]) == pytest.approx(1 / (1 + np.exp(-2)))
    assert found["boxes"][0].tolist() == pytest.approx([8, 0, 20, 28.8])
    # Stretched, and back: two cells beside each other.
    (found,) = detect(detector, torch.rand(1, 3, 16, 64))
    first, second = sorted(found["boxes"].tolist())
    assert first == pytest.approx([8, 0, 20, 14.4])
    assert second == pytest.approx([40, 0, 52, 14.4])


def test_files_that_are_not_nanodets(folder):
    def line(**options):
        with pytest.raises(ValueError) as caught:
            load(SPEC, options.get("weights", folder))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert line(weights=folder / "none").endswith("nanodet.json: No such file or directory")
    data, graph = folder / "nanodet.bin", folder / "nanodet.json"
    whole = data.read_bytes()
    data.write_bytes(whole[:-2])
    assert line().endswith(f"got {len(whole) - 2} bytes of weights, wanted more")
    data.unlink()
    assert line().endswith("nanodet.bin: No such file or directory")
    data.write_bytes(whole)
    content = json.loads(graph.read_text())
    nodes = content["modelTopology"]["node"]
    for wrong in ([], {}, {**content, "modelTopology": {}}, {**content, "weightsManifest": []}):
        graph.write_text(json.dumps(wrong))
        assert "got no TensorFlow.js graph of NanoDet" in line()
    graph.write_text("{")
    assert "got no TensorFlow.js graph of NanoDet" in line()
    fewer = [node for node in nodes if node["name"] != "Call/convolution_3"]
    graph.write_text(json.dumps({**content, "modelTopology": {"node": fewer}}))
    assert line().endswith("got 33 convolutions, wanted NanoDet-g's 34")
