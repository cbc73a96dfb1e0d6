"""What a user would write: the paper repository's way, with its libraries and in one process.

picture --torchvision, CLIP--> features --MLP, unit power--> latent --MLP--> query --FAISS--> entry
"""

from __future__ import annotations

import os
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from semlink.image import RGBImage
from trainer.codecs.kbsc import KbscNetwork
from trainer.encoders.open_clip_encoder import declare_torchvision_operators

__all__ = ["FEATURE_DIM", "NUM_THREADS", "TorchEager", "random_clip"]

FEATURE_DIM = 512
NUM_THREADS = len(os.sched_getaffinity(0))
"""Of torch and of FAISS: what they take by themselves."""


class TorchEager:
    """CLIP, the paper's codec and an exact search, each called as its documentation says.

    Parameters
    ----------
    clip : gives features (1, FEATURE_DIM) by `encode_image`
    clip_preprocess : what open_clip gives with it, from a PIL image to (3, S, S)
    codec : in evaluation mode
    """

    def __init__(self, clip: Any, clip_preprocess: Any, codec: KbscNetwork) -> None:
        torch.set_num_threads(NUM_THREADS)
        self.clip, self.codec, self._preprocess = clip, codec, clip_preprocess
        self._index = faiss.IndexFlatIP(FEATURE_DIM)

    def know(self, vectors: npt.NDArray[np.float32]) -> None:
        """Take the knowledge base: (num_entries, FEATURE_DIM) of unit length."""
        self._index.add(vectors)

    @torch.no_grad()
    def features(self, picture: RGBImage) -> torch.Tensor:
        """(1, FEATURE_DIM), of unit length."""
        pixels = self._preprocess(Image.fromarray(picture))[None]
        return functional.normalize(self.clip.encode_image(pixels))

    @torch.no_grad()
    def latent(self, picture: RGBImage) -> torch.Tensor:
        """(1, 2 n) of unit power: the mean square of a real is a half."""
        latent = self.codec.encoder(self.features(picture))
        return latent / (2 * latent.square().mean()).sqrt()

    @torch.no_grad()
    def query(self, latent: torch.Tensor) -> torch.Tensor:
        """(1, FEATURE_DIM), of unit length."""
        return functional.normalize(self.codec.decoder(latent))

    def match(self, latent: torch.Tensor) -> int:
        """The nearest entry."""
        # Ours sets it to one thread in the same process.
        faiss.omp_set_num_threads(NUM_THREADS)
        _, entries = self._index.search(self.query(latent).numpy(), 1)
        return int(entries[0, 0])


def random_clip() -> tuple[nn.Module, Any]:
    """ViT-B/32 with random weights, and the preprocessing that open_clip gives with it."""
    declare_torchvision_operators()
    import open_clip

    torch.manual_seed(0)
    clip, _, clip_preprocess = open_clip.create_model_and_transforms("ViT-B-32", pretrained=None, device="cpu")
    return clip.eval(), clip_preprocess
