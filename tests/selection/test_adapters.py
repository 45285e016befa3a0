"""Detectors from a Hugging Face folder and from an ONNX file."""

import builtins
import json

import onnx
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator

from compositor.selection.detector import detect, labels_by_name, load
from tests.selection.test_detector import IMAGES, agree, one_line


@pytest.fixture
def folder(tmp_path):
    """A tiny detector as Hugging Face's folders have them."""
    names = {0: "N/A", 1: "person", 3: "dog"}
    config = transformers.YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[32, 48],
        patch_size=16,
        num_detection_tokens=5,
        num_labels=4,
    )
    config.id2label, config.label2id = names, {name: label for label, name in names.items()}
    torch.manual_seed(0)
    model = transformers.YolosForObjectDetection(config)
    with torch.no_grad():  # no two boxes or scores alike
        model.vit.embeddings.detection_tokens.normal_()
        for head in (model.class_labels_classifier, model.bbox_predictor):
            for layer in head.layers:
                layer.weight.normal_()
    model.save_pretrained(tmp_path / "yolos")
    processor = transformers.YolosImageProcessor(size={"height": 32, "width": 48})
    processor.save_pretrained(tmp_path / "yolos")
    return tmp_path / "yolos"


def test_hugging_face(folder):
    detector = load(f"hf:{folder}")
    assert detector.classes == ["N/A", "person", "N/A", "dog"]
    assert labels_by_name(detector, ("background", "dog", "person")) == [0, 3, 1]
    levels = (IMAGES * 255).round() / 255
    found = detect(detector, levels)
    # As its users call it, with pictures (H, W, 3) of bytes; and then by hand.
    model = transformers.YolosForObjectDetection.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    pictures = [(image * 255).round().byte().permute(1, 2, 0).numpy() for image in levels]
    with torch.no_grad():
        out = model(**processor(images=pictures, return_tensors="pt"))
    agree(found, processor.post_process_object_detection(out, 0.0, [(64, 80), (64, 80)]))
    scores, labels = out.logits.softmax(-1)[..., :-1].max(-1)
    x, y, w, h = (out.pred_boxes * torch.tensor([80, 64, 80, 64])).unbind(-1)
    boxes = torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), -1)
    for index, one in enumerate(found):
        torch.testing.assert_close(one["boxes"], boxes[index])
        assert torch.equal(one["labels"], labels[index])
        assert torch.equal(one["scores"], scores[index])
    assert len(found[0]["scores"].unique()) == 5 and not torch.equal(boxes[0], boxes[1])


def test_hugging_face_in_half_precision_runs_in_single(folder):
    model = transformers.YolosForObjectDetection.from_pretrained(folder)
    model.half().save_pretrained(folder)
    found = detect(load(f"hf:{folder}"), IMAGES)
    assert found[0]["scores"].dtype == torch.float32 and len(found[0]["scores"]) == 5


def test_hugging_face_refuses(folder, tmp_path, monkeypatch):
    assert one_line(load, "hf:facebook/detr") == "hf: got 'facebook/detr', wanted a local folder"
    line = one_line(load, f"hf:{folder}", "weights.pt")
    assert line == f"weights: got weights.pt, wanted none, as hf:{folder} has its own"
    (tmp_path / "empty").mkdir()
    assert f"hf: {tmp_path}/empty: cannot be loaded (" in one_line(load, f"hf:{tmp_path}/empty")

    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    assert f"hf: {folder}: cannot be loaded (" in one_line(load, f"hf:{folder}")


def test_hugging_face_lacks_weights(folder):
    """Transformers only warns of weights that are not there, and makes them up."""
    path = folder / "model.safetensors"
    state = load_file(path)
    key = "bbox_predictor.layers.0.weight"
    del state[key]
    save_file(state, path, {"format": "pt"})
    wanted = f"hf: {folder}: cannot be loaded (lacks 1 of its weights, {key} first)"
    assert one_line(load, f"hf:{folder}") == wanted


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A tiny detector of torchvision, and its file as PyTorch exports it."""
    torch.manual_seed(0)
    backbone = torch.nn.Conv2d(3, 8, 3, stride=8, padding=1)
    backbone.out_channels = 8
    anchors = AnchorGenerator(((16, 32),), ((1.0,),))
    options = {"min_size": 64, "max_size": 96, "score_thresh": 0.0, "detections_per_img": 9}
    network = RetinaNet(backbone, 3, anchor_generator=anchors, **options).eval()
    for weight in network.parameters():  # torchvision's are so small that all scores are alike
        if weight.dim() > 1:
            torch.nn.init.kaiming_normal_(weight)
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    torch.onnx.export(
        network,
        ([IMAGES[0]],),
        path,
        input_names=["image"],
        output_names=["boxes", "scores", "labels"],
        dynamo=False,
    )
    return network, path


@pytest.mark.filterwarnings("ignore")
def test_onnx(exported):
    network, path = exported
    detector = load(f"onnx:{path}")
    found = detect(detector, IMAGES)
    with torch.no_grad():
        expected = network(list(IMAGES))
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours["scores"].unique()) == 9 and torch.equal(ours["labels"], theirs["labels"])
        for name in ("boxes", "scores"):  # another library's convolutions
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-4)
    assert detector.classes is None
    line = one_line(detect, detector, IMAGES[..., :72])
    assert line == ("onnx: got images of shape (3, 64, 72), wanted [3, 64, 80] as the file's input")


def graph(path, shape, outputs, classes=None, element=onnx.TensorProto.FLOAT):
    """A file whose outputs are constants, whatever its input."""
    nodes, values = [], []
    for name, value in outputs.items():
        kind = onnx.helper.np_dtype_to_tensor_dtype(value.numpy().dtype)
        constant = onnx.helper.make_tensor("", kind, value.shape, value.flatten().tolist())
        nodes.append(onnx.helper.make_node("Constant", [], [name], value=constant))
        values.append(onnx.helper.make_tensor_value_info(name, kind, None))
    image = onnx.helper.make_tensor_value_info("image", element, shape)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "detector", [image], values),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
    )
    model.ir_version = 8
    if classes is not None:
        onnx.helper.set_model_props(model, {"classes": json.dumps(classes)})
    onnx.save(model, path)
    return f"onnx:{path}"


ONE = {
    "boxes": torch.tensor([[1.0, 2, 3, 4]]),
    "labels": torch.tensor([2]),
    "scores": torch.tensor([0.5]),
}


def test_onnx_with_names_and_a_batch(tmp_path):
    batch = {name: value[None] for name, value in ONE.items()}
    for outputs in (ONE, batch):
        for shape in ([1, 3, "height", "width"], ["n", "c", 64, 80]):
            spec = graph(tmp_path / "a.onnx", shape, outputs, ["background", "cup", "mug"])
            detector = load(spec)
            agree(detect(detector, IMAGES), [ONE, ONE])
            assert labels_by_name(detector, ("", "mug")) == [0, 2]


def test_onnx_refuses(tmp_path):
    path = tmp_path / "a.onnx"
    assert one_line(load, f"onnx:{path}") == f"onnx: got '{path}', wanted a file"
    path.write_bytes(b"not a graph")
    assert one_line(load, f"onnx:{path}").startswith(f"onnx: {path}: ")
    unnamed = {f"output{index}": value for index, value in enumerate(ONE.values())}
    line = one_line(load, graph(path, [3, "h", "w"], unnamed))
    assert line.endswith(
        "got outputs output0, output1, output2, wanted some named boxes, labels, scores"
    )
    line = one_line(load, graph(path, [3, "h", "w"], ONE, element=onnx.TensorProto.UINT8))
    assert "got inputs [('image', 'tensor(uint8)', [3, 'h', 'w'])], wanted one float image" in line
    for shape in (["h", "w"], [1, "h", "w"], [2, 3, "h", "w"], [1, 1, 3, "h", "w"]):
        assert "wanted one float image" in one_line(load, graph(path, shape, ONE))
    with_names = graph(path, [3, "h", "w"], ONE, {"0": "cup"})
    line = one_line(labels_by_name, load(with_names), ("", "cup"))
    assert line == "detector: got classes of type dict, wanted a sequence of names"
    swapped = ONE | {"labels": ONE["scores"], "scores": ONE["labels"]}
    line = one_line(detect, load(graph(path, [3, "h", "w"], swapped)), IMAGES)
    assert "labels of torch.float32" in line
    several = {name: torch.cat((value, value))[:, None] for name, value in ONE.items()}
    assert "got shapes (2, 1, 4)" in one_line(
        detect, load(graph(path, [1, 3, "h", "w"], several)), IMAGES
    )


@pytest.mark.parametrize(("kind", "package"), [("hf", "transformers"), ("onnx", "onnxruntime")])
def test_missing_package(tmp_path, monkeypatch, kind, package):
    real = builtins.__import__

    def without(name, *rest, **options):
        if name.startswith(package):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **options)

    (tmp_path / "a.onnx").touch()
    monkeypatch.setattr(builtins, "__import__", without)
    line = one_line(load, f"{kind}:{tmp_path}/a.onnx" if kind == "onnx" else f"hf:{tmp_path}")
    assert line.startswith(f"{kind}: needs {package}: pip install {package} (No module named")
