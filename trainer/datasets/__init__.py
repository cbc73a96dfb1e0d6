"""Datasets: what is sent, what the knowledge base holds, what counts as right. None needs torch.

digits     1,797 real handwritten digits, in scikit-learn's wheel
photos     21 real photographs, in two wheels, and seeded views of them
cifar100   from the official archive, found or downloaded
folder     any folder of pictures
"""

from trainer.datasets.base import Dataset, ImageList, half_split, write_folder
from trainer.datasets.registry import DATASETS, open_dataset

__all__ = ["DATASETS", "Dataset", "ImageList", "half_split", "open_dataset", "write_folder"]
