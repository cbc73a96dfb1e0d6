"""Model sets: a folder of models with a manifest of their hashes.

    manifest.json                 names, hashes, shapes, training data, measured accuracy, licence
    encoder.onnx                  image (batch, size, size, 3) uint8 -> features (batch, 512) float32
    nested.codebook.npz           the code of `nested`, from which both ends make what they need
    nested-cells.codebook.npz     the same of `nested-cells`
    nested-labels.keys.onnx       features -> projection (batch, 256) float32, of a codec with a projection head
    nested-labels.proxies.npz     categories of that projection head, and the proxy of each
    kbsc-<n>.encoder.onnx         features -> latent (batch, 2 n) float32
    kbsc-<n>.decoder.onnx         received latent (batch, 2 n) -> query (batch, 512) float32

These names are the built-in set's; `semlink train codec` puts a part of the file's hash into each name, so that
no file of a codec that is trained again is overwritten.

Files are checked against the manifest's SHA-256 when they are first used, so that a transmitter
needs no file that only a receiver uses, and the other way round.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from engines.backends.runner import GraphRunner, TensorSpec
from engines.models.codecs import Codec, NestedCodec, PerRateCodec
from engines.models.knowledge_base_codebook import ADAPTED
from engines.models.manifest import PerRateCodecEntry
from engines.models.model_files import ModelFiles
from semlink.errors import ConfigError, ModelSetError
from semlink.suggestions import did_you_mean

__all__ = ["BUILTIN_MODEL_SETS", "ModelSet"]

BUILTIN_MODEL_SETS = Path(__file__).parents[1] / "modelsets"
"""Folder of the model sets that come with the package and are opened by name."""

_OPTIONS = {
    "index": "--entries FILE",
    "index-labels": "--entries FILE",
    ADAPTED: "--codebook FILE, or --feedback ADDRESS to get it from the receiver, in place of --codec",
}
"""Options of `semlink tx` for each codec that is of a knowledge base, not of a model set."""


class ModelSet(ModelFiles):
    """An opened model set.

    Parameters
    ----------
    folder : folder of manifest.json

    Raises
    ------
    ModelSetError
        If the manifest is missing or invalid, or names a rate that is not in the rate table.
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
        """Return a codec by name; the set's first by default.

        Raises
        ------
        ConfigError
            If it has no codec of that name.
        ModelSetError
            If it has no codec at all.
        """
        for codec in self.codecs:
            if name in (None, codec.name):
                return codec
        if not self.codecs:
            raise ModelSetError(f'model set "{self.name}" has no codec; a link needs a set with one')
        held = [codec.name for codec in self.codecs]
        if name in _OPTIONS:
            hint = f"it is sent with a file of the knowledge base: semlink tx {_OPTIONS[name]}"
        else:
            hint = did_you_mean(str(name), [*held, *_OPTIONS])
        message = f'model set "{self.name}" has no codec {name}; it has: {", ".join(held)}'
        raise ConfigError(f"{message}; {hint}" if hint else message)

    @functools.cached_property
    def encoder_path(self) -> Path:
        """The encoder graph, its hash checked on first use."""
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
        """Input of the encoder: (batch, size, size, 3) uint8."""
        size = self.manifest.encoder.preprocessing.size_px
        return TensorSpec("image", np.dtype(np.uint8), (None, size, size, 3))
