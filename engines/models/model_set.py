"""Model sets: a folder of models, and the manifest that vouches for it.

    manifest.json                 names, hashes, shapes, training data, measured accuracy, licence
    encoder.onnx                  image (batch, size, size, 3) uint8 -> features (batch, 512) float32
    nested.encoder.onnx           features -> latent (batch, 2048) float32, of which every rate takes a prefix
    nested.codebook.npz           what the receiver of `nested` hears its own entries with
    kbsc-<n>.encoder.onnx         features -> latent (batch, 2 n) float32
    kbsc-<n>.decoder.onnx         received latent (batch, 2 n) -> query (batch, 512) float32

Files are checked against the manifest's SHA-256 when they are first used, so that a transmitter
needs nothing on its disk that only a receiver uses, and the other way round.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engines.backends.runner import GraphRunner, TensorSpec
from engines.models.codecs import Codec, NestedCodec, PerRateCodec
from engines.models.manifest import PerRateCodecEntry
from engines.models.model_files import ModelFiles
from semlink.errors import ConfigError, ModelSetError

__all__ = ["BUILTIN_MODEL_SETS", "ModelSet"]

BUILTIN_MODEL_SETS = Path(__file__).parents[1] / "modelsets"
"""Model sets that come with the package; named instead of given as a path."""


class ModelSet(ModelFiles):
    """An opened model set.

    Parameters
    ----------
    folder : where manifest.json lies

    Raises
    ------
    ModelSetError
        If the manifest is missing, is not one, or names a rate that is not in the rate table.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.codecs: tuple[Codec, ...] = tuple(
            PerRateCodec(self, entry) if isinstance(entry, PerRateCodecEntry) else NestedCodec(self, entry)
            for entry in self.manifest.codecs
        )

    @classmethod
    def find(cls, name_or_folder: str) -> ModelSet:
        """Open a built-in set by name, or any set by its folder."""
        builtin = BUILTIN_MODEL_SETS / name_or_folder
        if (builtin / "manifest.json").is_file():
            return cls(builtin)
        if not Path(name_or_folder).is_dir():
            known = ", ".join(sorted(path.parent.name for path in BUILTIN_MODEL_SETS.glob("*/manifest.json")))
            raise ModelSetError(f'model set "{name_or_folder}" is neither a folder nor built in ({known})')
        return cls(Path(name_or_folder))

    def codec(self, name: str | None = None) -> Codec:
        """Give a codec by name; the set's first if not named.

        Raises
        ------
        ConfigError
            If it has none of that name.
        ModelSetError
            If it has none at all.
        """
        for codec in self.codecs:
            if name in (None, codec.name):
                return codec
        if not self.codecs:
            raise ModelSetError(f'model set "{self.name}" has no codec; a link needs a set with one')
        held = ", ".join(codec.name for codec in self.codecs)
        hint = "; index takes keys instead of a codec: semlink tx --keys" if name in ("index", "index-labels") else ""
        raise ConfigError(f'model set "{self.name}" has no codec {name}; it has: {held}{hint}')

    @property
    def encoder_path(self) -> Path:
        """The encoder graph, its hash checked."""
        return self.checked(self.manifest.encoder.graph)

    def load_encoder(self, *, backend: str = "auto", num_threads: int = 1) -> GraphRunner:
        """Load the image encoder and check its shapes against the manifest."""
        return self.load_graph(
            self.manifest.encoder.graph,
            self.image_spec,
            self.vector("features", self.feature_dim),
            backend=backend,
            num_threads=num_threads,
        )

    @property
    def image_spec(self) -> TensorSpec:
        """What the encoder takes: (batch, size, size, 3) uint8."""
        size = self.manifest.encoder.preprocessing.size_px
        return TensorSpec("image", np.dtype(np.uint8), (None, size, size, 3))
