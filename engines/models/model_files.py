"""The files of one model set, checked against the manifest and loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engines.backends.runner import GraphRunner, TensorSpec, check_specs, load_runner
from engines.models.manifest import Manifest, ModelFile, read_manifest
from semlink.errors import EngineError, ModelSetError
from semlink.files import file_sha256

__all__ = ["ModelFiles"]


class ModelFiles:
    """The folder of an `engines.models.model_set.ModelSet`, with its manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: Manifest = read_manifest(folder)

    @property
    def name(self) -> str:
        """Name of the set, for messages."""
        return self.manifest.name

    @property
    def feature_dim(self) -> int:
        """Length of the image encoder's features."""
        return self.manifest.encoder.feature_dim

    @property
    def encoder_fingerprint(self) -> str:
        """Identity of a KB's vectors: the SHA-256 of the encoder graph, in hex."""
        return self.manifest.encoder.graph.sha256

    def load_graph(
        self,
        graph: ModelFile,
        expected_input: TensorSpec,
        expected_output: TensorSpec,
        *,
        backend: str,
        num_threads: int,
    ) -> GraphRunner:
        """Load one of the set's graphs, its hash and its shapes checked."""
        path = self.checked(graph)
        runner = load_runner(path, backend=backend, num_threads=num_threads)
        try:
            check_specs(runner, graph=str(path), expected_input=expected_input, expected_output=expected_output)
        except EngineError as error:
            raise ModelSetError(f"{error}; the manifest and the graph disagree") from None
        return runner

    @staticmethod
    def vector(name: str, dim: int) -> TensorSpec:
        """(batch, dim) float32."""
        return TensorSpec(name, np.dtype(np.float32), (None, dim))

    def checked(self, model: ModelFile) -> Path:
        """The path of one of the set's files, its hash checked.

        Raises
        ------
        ModelSetError
            If it is missing, or not the file that the manifest describes.
        """
        path = self.folder / model.file
        try:
            actual = file_sha256(path)
        except OSError as error:
            raise ModelSetError(f"{path}: {error.strerror}; the model set is incomplete") from None
        if actual != model.sha256:
            raise ModelSetError(
                f"{path}: sha256 is {actual[:12]}..., the manifest says {model.sha256[:12]}...; fetch the set again"
            )
        return path
