"""The link as the paper's repository writes it, with its libraries and in one process.

image --torchvision, CLIP--> features --MLP, unit power--> latent --MLP--> query --FAISS--> entry
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from semlink.image import RGBImage
from semlink.machine import num_cores
from trainer.codecs.kbsc import KbscNetwork
from trainer.encoders.open_clip_encoder import declare_torchvision_operators

__all__ = ["FEATURE_DIM", "NUM_THREADS", "TorchEager", "random_clip"]

FEATURE_DIM = 512
NUM_THREADS = num_cores()
"""Of torch and of FAISS: their own default."""


class TorchEager:
    """CLIP, the paper's codec and an exact search, each called as its documentation says.

    Parameters
    ----------
    clip : its `encode_image` returns features (1, FEATURE_DIM)
    clip_preprocess : open_clip's preprocessing for it, from a PIL image to (3, S, S)
    codec : in evaluation mode
    """

    def __init__(self, clip: Any, clip_preprocess: Any, codec: KbscNetwork) -> None:
        torch.set_num_threads(NUM_THREADS)
        self.clip, self.codec, self._preprocess = clip, codec, clip_preprocess
        self._index = faiss.IndexFlatIP(FEATURE_DIM)

    def add_entries(self, vectors: npt.NDArray[np.float32]) -> None:
        """Fill the knowledge base: (num_entries, FEATURE_DIM) of unit length."""
        self._index.add(vectors)

    @torch.no_grad()
    def features(self, image: RGBImage) -> torch.Tensor:
        """Encode an image, (1, FEATURE_DIM) of unit length."""
        pixels = self._preprocess(Image.fromarray(image))[None]
        return functional.normalize(self.clip.encode_image(pixels))

    @torch.no_grad()
    def latent(self, image: RGBImage) -> torch.Tensor:
        """Encode an image for the channel, (1, 2 n) of unit power: the mean square of a real is a half."""
        latent = self.codec.encoder(self.features(image))
        return latent / (2 * latent.square().mean()).sqrt()

    @torch.no_grad()
    def query(self, latent: torch.Tensor) -> torch.Tensor:
        """Decode a latent, (1, FEATURE_DIM) of unit length."""
        return functional.normalize(self.codec.decoder(latent))

    def match(self, latent: torch.Tensor) -> int:
        """Decode a latent, and search the nearest entry."""
        # semlink sets it to one thread in the same process.
        faiss.omp_set_num_threads(NUM_THREADS)
        _, entries = self._index.search(self.query(latent).numpy(), 1)
        return int(entries[0, 0])


def random_clip() -> tuple[nn.Module, Any]:
    """Make a ViT-B/32 with random weights, and open_clip's preprocessing for it."""
    declare_torchvision_operators()
    import open_clip

    torch.manual_seed(0)
    clip, _, clip_preprocess = open_clip.create_model_and_transforms("ViT-B-32", pretrained=None, device="cpu")
    return clip.eval(), clip_preprocess
