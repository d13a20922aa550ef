"""The datasets that a space file names."""

from study.data.datasets import cifar10, digits, fashion_mnist, folder, imagenette, mnist, named

__all__ = ["cifar10", "digits", "fashion_mnist", "folder", "imagenette", "mnist", "named"]
