"""manifest.json of a model set: the folder's files by content."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from semlink.errors import ConfigError, ModelSetError
from semlink.files import is_plain_name
from semlink.image import Preprocessing
from semlink.rates import RATES, parse_rate

__all__ = [
    "MANIFEST_FORMAT",
    "CodecEntry",
    "CodecRateEntry",
    "EncoderEntry",
    "Manifest",
    "ModelFile",
    "NestedCodecEntry",
    "PerRateCodecEntry",
    "ProjectionEntry",
    "manifest_format",
    "read_manifest",
]

MANIFEST_FORMAT = 2


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the set, beside the manifest, and the SHA-256 of its bytes, in hex."""

    file: str
    sha256: str

    def __post_init__(self) -> None:
        if not is_plain_name(self.file):
            raise ModelSetError(f"a model's file must be a plain name beside the manifest, got {self.file!r}")


class EncoderEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The image encoder: uint8 picture to L2-normalised features."""

    name: str
    graph: ModelFile
    feature_dim: int
    preprocessing: Preprocessing
    licence: str
    training_data: str
    measured: dict[str, float] = {}


class CodecRateEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rate's pair of graphs; `measured` maps a name such as "semantic_accuracy_10_db" to a value."""

    num_symbols: int
    encoder: ModelFile
    decoder: ModelFile
    measured: dict[str, float] = {}

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """All files of the entry."""
        return (self.encoder, self.decoder)


class PerRateCodecEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="per-rate"):
    """A codec of a pair of graphs for each rate that it was trained for: `kbsc`."""

    name: str
    rates: list[CodecRateEntry]
    licence: str
    training_data: str

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """All files of the entry."""
        return tuple(file for entry in self.rates for file in entry.files)


class ProjectionEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The projection head of a codec that knows categories, see `engines.models.projection_head`."""

    network: ModelFile
    proxies: ModelFile
    projection_dim: int = msgspec.field(name="key_dim")


class NestedCodecEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="nested"):
    """One code for all rates, see `engines.models.codebook`; with `projection`, of projected features.

    Both ends hold the codebook; the transmitter's graph is made of it (`engines.graphs.nested`).
    """

    name: str
    codebook: ModelFile
    licence: str
    training_data: str
    projection: ProjectionEntry | None = msgspec.field(default=None, name="keys")
    measured: dict[str, float] = {}

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """All files of the entry."""
        return (self.codebook, *((self.projection.network, self.projection.proxies) if self.projection else ()))


CodecEntry: TypeAlias = PerRateCodecEntry | NestedCodecEntry


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """manifest.json. A set without a codec serves a KB builder and a trainer, not a link.

    The first codec is a transmitter's default.
    """

    format: int
    name: str
    created: str
    encoder: EncoderEntry
    codecs: list[CodecEntry] = []

    def __post_init__(self) -> None:
        if self.encoder.feature_dim < 1:
            raise ModelSetError(f"feature_dim must be at least 1, got {self.encoder.feature_dim}")
        names = [codec.name for codec in self.codecs]
        if len({*names}) != len(names):
            raise ModelSetError(f"two codecs have one name: {', '.join(names)}")
        for codec in self.codecs:
            if isinstance(codec, PerRateCodecEntry):
                _check_rates(codec)


def _check_rates(codec: PerRateCodecEntry) -> None:
    try:
        rates = {parse_rate(str(entry.num_symbols)) for entry in codec.rates}
    except ConfigError as error:
        raise ModelSetError(str(error)) from None
    if len(rates) != len(codec.rates) or not 0 < len(rates) <= len(RATES):
        raise ModelSetError(f"{codec.name}: a rate appears twice, or none at all; one entry for each number of symbols")


class _Format(msgspec.Struct, frozen=True):
    format: Annotated[int, msgspec.Meta(ge=1)]


def manifest_format(data: bytes) -> int:
    """The number that every format of a manifest has; msgspec.MsgspecError if there is none.

    Another format may have fields that this version's forbids, so the number is checked before the others are read.
    """
    return msgspec.json.decode(data, type=_Format).format


def read_manifest(folder: Path) -> Manifest:
    """Read a model set's manifest.

    Raises
    ------
    ModelSetError
        If it is missing or invalid, or of another format.
    """
    try:
        data = (folder / "manifest.json").read_bytes()
        found = manifest_format(data)
        if found != MANIFEST_FORMAT:
            older = "update semlink" if found > MANIFEST_FORMAT else "make the set again: semlink train"
            raise ModelSetError(f"manifest format {found}, this version reads {MANIFEST_FORMAT}; {older}")
        return msgspec.json.decode(data, type=Manifest)
    except OSError as error:
        raise ModelSetError(f"{folder}: not a model set: manifest.json: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ConfigError, ModelSetError) as error:
        raise ModelSetError(f"{folder}/manifest.json: {error}") from None
