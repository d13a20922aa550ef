"""The one door to torchvision: `from study.data.vision import torchvision`."""

import torch

try:
    import torchvision
except RuntimeError as error:
    # PyPI's torchvision is built for CUDA. Beside a CPU-only torch its compiled operators do not load, and the import
    # stops where it describes two of them. Declaring those two is enough: this project never calls them.
    if "torchvision::nms does not exist" not in str(error):
        raise
    _declared = torch.library.Library("torchvision", "DEF")
    for _operator in ("nms", "qnms"):
        _declared.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

__all__ = ["torchvision"]
