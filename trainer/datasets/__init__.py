"""Datasets: images to send, a knowledge base to search, and images to train on. None needs torch.

digits     1,797 scanned handwritten digits, in scikit-learn's wheel
photos     21 photographs, in two wheels, and seeded views of them
cifar100   CIFAR-100, from the official archive on disk or downloaded
folder     any folder of images
"""

from trainer.datasets.base import Dataset, ImageList, half_split, write_folder
from trainer.datasets.registry import DATASETS, open_dataset

__all__ = ["DATASETS", "Dataset", "ImageList", "half_split", "open_dataset", "write_folder"]
