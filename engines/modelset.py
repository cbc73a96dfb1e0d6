"""Model sets: a folder of graphs, and the manifest that vouches for it.

    manifest.json                 names, hashes, shapes, training data, measured accuracy, licence
    encoder.onnx                  image (batch, size, size, 3) uint8 -> features (batch, 512) float32
    codec-<n>.encoder.onnx        features -> latent (batch, 2 n) float32
    codec-<n>.decoder.onnx        received latent (batch, 2 n) -> query (batch, 512) float32

Files are checked against the manifest's SHA-256 when they are first used, so that a transmitter
needs no decoders on its disk and a receiver no codec encoders.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from engines.runner import GraphRunner, TensorSpec, check_specs, load_runner
from semlink.errors import ConfigError, EngineError, ModelSetError
from semlink.frame import FINGERPRINT_BYTES
from semlink.image import Preprocessing
from semlink.rates import Rate, parse_rate

__all__ = [
    "BUILTIN_MODEL_SETS",
    "CodecEntry",
    "CodecRateEntry",
    "EncoderEntry",
    "GraphFile",
    "Manifest",
    "ModelSet",
    "file_sha256",
]

BUILTIN_MODEL_SETS = Path(__file__).parent / "modelsets"
"""Model sets that come with the package; named instead of given as a path."""

MANIFEST_FORMAT = 1


class GraphFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the set, beside the manifest, and the SHA-256 of its bytes, in hex."""

    file: str
    sha256: str

    def __post_init__(self) -> None:
        if self.file in ("", ".", "..") or any(sign in self.file for sign in "/\\\0"):
            raise ModelSetError(f"a graph's file must be a plain name beside the manifest, got {self.file!r}")


class EncoderEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The image encoder: uint8 picture to L2-normalised features."""

    name: str
    graph: GraphFile
    feature_dim: int
    preprocessing: Preprocessing
    licence: str
    training_data: str
    measured: dict[str, float] = {}


class CodecRateEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rate's pair of graphs; `measured` maps a name such as "semantic_accuracy_10_db" to a value."""

    num_symbols: int
    encoder: GraphFile
    decoder: GraphFile
    measured: dict[str, float] = {}


class CodecEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The codec and every rate that it was trained for."""

    name: str
    rates: list[CodecRateEntry]
    licence: str
    training_data: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """manifest.json. A set without a codec serves a KB builder and a trainer, not a link."""

    format: int
    name: str
    created: str
    encoder: EncoderEntry
    codec: CodecEntry | None = None


class _ManifestFormat(msgspec.Struct, frozen=True):
    """What every format of the manifest begins with."""

    format: Annotated[int, msgspec.Meta(ge=1)]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class ModelSet:
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
        self.folder = folder
        try:
            data = (folder / "manifest.json").read_bytes()
            # A later format has fields that this one forbids: its number must be told before they are.
            found = msgspec.json.decode(data, type=_ManifestFormat).format
            if found != MANIFEST_FORMAT:
                raise ModelSetError(f"manifest format {found}, this version reads {MANIFEST_FORMAT}; update semlink")
            self.manifest = msgspec.json.decode(data, type=Manifest)
        except OSError as error:
            raise ModelSetError(f"{folder}: not a model set: manifest.json: {error.strerror}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError, ConfigError, ModelSetError) as error:
            raise ModelSetError(f"{folder}/manifest.json: {error}") from None
        if self.manifest.encoder.feature_dim < 1:
            raise ModelSetError(f"{folder}: feature_dim must be at least 1, got {self.manifest.encoder.feature_dim}")
        entries = self.manifest.codec.rates if self.manifest.codec else []
        try:
            rates = {parse_rate(str(entry.num_symbols)) for entry in entries}
        except ConfigError as error:
            raise ModelSetError(f"{folder}/manifest.json: {error}") from None
        if len(rates) != len(entries):
            raise ModelSetError(f"{folder}/manifest.json: a rate appears twice; one entry for each number of symbols")
        self.rates: tuple[Rate, ...] = tuple(sorted(rates, key=lambda rate: rate.num_symbols))
        """Rates that the set's codec serves, by rising number of symbols."""

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

    @property
    def encoder_fingerprint(self) -> str:
        """What a KB is bound to: the SHA-256 of the encoder graph, in hex."""
        return self.manifest.encoder.graph.sha256

    def fingerprint(self, rate: Rate) -> bytes:
        """What a frame carries: 16 bytes that name encoder, codec and rate by content."""
        entry = self._codec_entry(rate)
        parts = (self.encoder_fingerprint, entry.encoder.sha256, entry.decoder.sha256, str(rate.num_symbols))
        return hashlib.sha256("\n".join(("semlink codec", *parts)).encode()).digest()[:FINGERPRINT_BYTES]

    def rate_of_fingerprint(self, fingerprint: bytes) -> Rate | None:
        """The rate whose models made a frame, or None if this set does not hold them."""
        return next((rate for rate in self.rates if self.fingerprint(rate) == fingerprint), None)

    @property
    def encoder_path(self) -> Path:
        """The encoder graph, its hash checked."""
        return self._checked(self.manifest.encoder.graph)

    def codec_encoder_path(self, rate: Rate) -> Path:
        """The graph from features to latent, its hash checked."""
        return self._checked(self._codec_entry(rate).encoder)

    def codec_decoder_path(self, rate: Rate) -> Path:
        """The graph from received latent to query, its hash checked."""
        return self._checked(self._codec_entry(rate).decoder)

    def load_encoder(self, *, backend: str = "auto", num_threads: int = 1) -> GraphRunner:
        """Load the image encoder and check its shapes against the manifest."""
        entry = self.manifest.encoder
        return self._load(
            self.encoder_path, self.image_spec, self._vector("features", entry.feature_dim), backend, num_threads
        )

    def load_codec_encoder(self, rate: Rate, *, backend: str = "auto", num_threads: int = 1) -> GraphRunner:
        """Load one rate's codec encoder and check its shapes."""
        features = self._vector("features", self.manifest.encoder.feature_dim)
        latent = self._vector("latent", rate.latent_dim)
        return self._load(self.codec_encoder_path(rate), features, latent, backend, num_threads)

    def load_codec_decoder(self, rate: Rate, *, backend: str = "auto", num_threads: int = 1) -> GraphRunner:
        """Load one rate's codec decoder and check its shapes."""
        latent = self._vector("latent", rate.latent_dim)
        query = self._vector("query", self.manifest.encoder.feature_dim)
        return self._load(self.codec_decoder_path(rate), latent, query, backend, num_threads)

    @property
    def image_spec(self) -> TensorSpec:
        """What the encoder takes: (batch, size, size, 3) uint8."""
        size = self.manifest.encoder.preprocessing.size_px
        return TensorSpec("image", np.dtype(np.uint8), (None, size, size, 3))

    def _load(self, path: Path, takes: TensorSpec, gives: TensorSpec, backend: str, num_threads: int) -> GraphRunner:
        runner = load_runner(path, backend=backend, num_threads=num_threads)
        try:
            check_specs(runner, graph=str(path), expected_input=takes, expected_output=gives)
        except EngineError as error:
            raise ModelSetError(f"{error}; the manifest and the graph disagree") from None
        return runner

    @staticmethod
    def _vector(name: str, dim: int) -> TensorSpec:
        return TensorSpec(name, np.dtype(np.float32), (None, dim))

    def _codec_entry(self, rate: Rate) -> CodecRateEntry:
        codec = self.manifest.codec
        for entry in codec.rates if codec else []:
            if entry.num_symbols == rate.num_symbols:
                return entry
        held = ", ".join(f"{rate.num_symbols} ({rate.name})" for rate in self.rates) or "none"
        raise ModelSetError(
            f'model set "{self.manifest.name}" has no rate of {rate.num_symbols} symbols; it has: {held}'
        )

    def _checked(self, graph: GraphFile) -> Path:
        path = self.folder / graph.file
        try:
            actual = file_sha256(path)
        except OSError as error:
            raise ModelSetError(f"{path}: {error.strerror}; the model set is incomplete") from None
        if actual != graph.sha256:
            raise ModelSetError(
                f"{path}: sha256 is {actual[:12]}..., the manifest says {graph.sha256[:12]}...; fetch the set again"
            )
        return path
