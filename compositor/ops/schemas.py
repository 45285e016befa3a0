"""The schemas of the ops, once: ``setup.py`` reads this file and hands them to the extension.

There they serve a program without Python too; where there is no extension ``registration`` defines
them.
"""

_INPUTS = "Tensor foreground, Tensor? mask, Tensor background, Tensor theta"
_OPTIONS = "float threshold, float sigma, int radius, bool straight_through"
_NEEDS = "bool foreground_grad, bool mask_grad, bool background_grad, bool theta_grad"
_TANGENTS = (
    "Tensor? foreground_tangent, Tensor? mask_tangent, Tensor? background_tangent,"
    " Tensor? theta_tangent"
)

BLEND = f"({_INPUTS}, {_OPTIONS}, bool return_alpha) -> (Tensor, Tensor)"
BLEND_BACKWARD = (
    f"(Tensor grad_composite, Tensor? grad_alpha, {_INPUTS}, {_OPTIONS}, {_NEEDS})"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)
BLEND_JVP = f"({_TANGENTS}, {_INPUTS}, {_OPTIONS}, bool return_alpha) -> (Tensor, Tensor)"

_LAYERS = (
    "Tensor[] foreground, Tensor[]? mask, Tensor background, Tensor theta, Tensor image,"
    " Tensor source, Tensor? gain, Tensor? bias, Tensor sigma,"
    " float threshold, int radius, bool straight_through"
)
RENDER = (
    f"({_LAYERS}, bool return_labels)"
    " -> (Tensor composite, Tensor owner, Tensor boxes, Tensor area, Tensor covered)"
)
RENDER_BACKWARD = (
    f"(Tensor grad_composite, {_LAYERS}, bool[] needs) -> (Tensor[] foreground, Tensor[] mask,"
    " Tensor background, Tensor theta, Tensor gain, Tensor bias)"
)
