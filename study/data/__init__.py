"""The datasets that a space file names, and what a dataset of one's own is made with."""

from study.data.datasets import Dataset, cifar10, digits, fashion_mnist, folder, imagenette, mnist, named

__all__ = ["Dataset", "cifar10", "digits", "fashion_mnist", "folder", "imagenette", "mnist", "named"]
