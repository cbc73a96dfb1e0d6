"""The codecs of a model set, each with the files that its two ends load.

`PerRateCodec` is a pair of graphs for each rate. `NestedCodec` is one codebook: the transmitter makes a graph of it, of
whose output every rate sends a prefix, and the receiver the signals of its entries.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from engines.backends.runner import GraphRunner
from engines.models.codebook import Codebook
from engines.models.manifest import CodecRateEntry, NestedCodecEntry, PerRateCodecEntry
from engines.models.model_files import ModelFiles
from engines.models.nested_code import NestedCode
from engines.models.projection_head import ProjectionHead, load_proxies
from semlink.errors import ModelSetError
from semlink.frame import FINGERPRINT_BYTES
from semlink.rates import RATES, Rate, parse_rate

__all__ = ["Codec", "NestedCodec", "PerRateCodec", "link_fingerprint"]


def link_fingerprint(kind: str, *parts: str) -> bytes:
    """Fingerprint in a frame: 16 bytes that identify encoder, codec and rate by content."""
    return hashlib.sha256("\n".join((kind, *parts)).encode()).digest()[:FINGERPRINT_BYTES]


class PerRateCodec:
    """A codec with a pair of graphs for each rate: `kbsc`."""

    def __init__(self, files: ModelFiles, entry: PerRateCodecEntry) -> None:
        self.entry = entry
        self.name = entry.name
        rates = (parse_rate(str(rate.num_symbols)) for rate in entry.rates)
        self.rates: tuple[Rate, ...] = tuple(sorted(rates, key=lambda rate: rate.num_symbols))
        """Rates of the codec, by rising number of symbols."""
        self._files = files

    def fingerprint(self, rate: Rate) -> bytes:
        """Fingerprint of frames at a rate; ModelSetError if the codec lacks the rate."""
        entry = self._entry(rate)
        parts = (self._files.encoder_fingerprint, entry.encoder.sha256, entry.decoder.sha256, str(rate.num_symbols))
        return link_fingerprint("semlink codec", *parts)

    def fingerprints(self, rate: Rate) -> tuple[bytes, ...]:
        """All fingerprints that frames at a rate may carry."""
        return (self.fingerprint(rate),)

    def encoder_path(self, rate: Rate) -> Path:
        """The graph from features to latent, its hash checked."""
        return self._files.checked(self._entry(rate).encoder)

    def decoder_path(self, rate: Rate) -> Path:
        """The graph from received latent to query, its hash checked."""
        return self._files.checked(self._entry(rate).decoder)

    def load_encoder(self, rate: Rate, *, backend: str = "auto", num_threads: int = 1) -> GraphRunner:
        """Load the graph from features (batch, feature_dim) to latent (batch, 2 n)."""
        features = self._files.vector("features", self._files.feature_dim)
        latent = self._files.vector("latent", rate.latent_dim)
        graph = self._entry(rate).encoder
        return self._files.load_graph(graph, features, latent, backend=backend, num_threads=num_threads)

    def load_decoder(self, rate: Rate, *, backend: str = "auto", num_threads: int = 1) -> GraphRunner:
        """Load the graph from received latent (batch, 2 n) to query (batch, feature_dim)."""
        latent = self._files.vector("latent", rate.latent_dim)
        query = self._files.vector("query", self._files.feature_dim)
        graph = self._entry(rate).decoder
        return self._files.load_graph(graph, latent, query, backend=backend, num_threads=num_threads)

    def _entry(self, rate: Rate) -> CodecRateEntry:
        for entry in self.entry.rates:
            if entry.num_symbols == rate.num_symbols:
                return entry
        held = ", ".join(f"{rate.num_symbols} ({rate.name})" for rate in self.rates)
        raise ModelSetError(
            f'model set "{self._files.name}": {self.name} has no rate of {rate.num_symbols} symbols; it has: {held}'
        )


class NestedCodec:
    """A codec with one code for every rate: `nested`, `nested-cells`, and with a projection head `nested-labels`."""

    rates: tuple[Rate, ...] = RATES

    def __init__(self, files: ModelFiles, entry: NestedCodecEntry) -> None:
        self.entry = entry
        self.name = entry.name
        self.high_snr_name = f"{entry.name}-high-snr"
        """Name of the high-SNR code in logs and results."""
        self._files = files

    def fingerprints(self, rate: Rate) -> tuple[bytes, ...]:
        """All fingerprints that frames at a rate may carry."""
        blind = self.fingerprint(rate)
        return (blind, self.fingerprint(rate, is_high_snr=True)) if self.codebook.has_high_snr_code else (blind,)

    def fingerprint(self, rate: Rate, *, is_high_snr: bool = False) -> bytes:
        """Fingerprint of frames at a rate; the high-SNR code has another one."""
        parts = (self._files.encoder_fingerprint, *(file.sha256 for file in self.entry.files), str(rate.num_symbols))
        return link_fingerprint(f"semlink nested{', clear channel' if is_high_snr else ''}", *parts)

    @property
    def nested_code(self) -> NestedCode:
        """The code as a transmitter sends it; ModelSetError as for `codebook` and `projection_path`."""
        high_snr_rates = self.rates if self.codebook.has_high_snr_code else ()
        return NestedCode(
            name=self.name,
            high_snr_name=self.high_snr_name,
            codebook=self.codebook,
            fingerprints={rate: self.fingerprint(rate) for rate in self.rates},
            high_snr_fingerprints={rate: self.fingerprint(rate, is_high_snr=True) for rate in high_snr_rates},
            projection_path=self.projection_path,
        )

    @property
    def projection_path(self) -> Path | None:
        """The projection head's graph, its hash checked; None if the codec encodes features."""
        return self._files.checked(self.entry.projection.network) if self.entry.projection else None

    @cached_property
    def codebook(self) -> Codebook:
        """The codebook of both ends.

        Raises
        ------
        ModelSetError
            If the file is missing, altered, or of another width than features or projection.
        """
        codebook = Codebook.load(self._files.checked(self.entry.codebook))
        expected = self.entry.projection.projection_dim if self.entry.projection else self._files.feature_dim
        if codebook.feature_dim != expected:
            raise ModelSetError(
                f"{self.entry.codebook.file}: of {codebook.feature_dim} reals, expected {expected};"
                " the manifest and the codebook disagree"
            )
        return codebook

    def load_projection_head(self, *, backend: str = "auto", num_threads: int = 1) -> ProjectionHead | None:
        """Load the projection head; None if the codec encodes features."""
        projection = self.entry.projection
        if projection is None:
            return None
        features, projected = (
            self._files.vector("features", self._files.feature_dim),
            self._files.vector("projection", projection.projection_dim),
        )
        graph = self._files.load_graph(
            projection.network, features, projected, backend=backend, num_threads=num_threads
        )
        categories, proxies = load_proxies(
            self._files.checked(projection.proxies), projection_dim=projection.projection_dim
        )
        return ProjectionHead(graph, categories, proxies)

    @property
    def projection_fingerprint(self) -> str:
        """Identity of a knowledge base's projected vectors: network and proxies by content, in hex."""
        projection = self.entry.projection
        if projection is None:
            raise ModelSetError(f"{self.name} encodes features and has no projection head")
        return hashlib.sha256(
            f"semlink keys\n{projection.network.sha256}\n{projection.proxies.sha256}".encode()
        ).hexdigest()


Codec: TypeAlias = PerRateCodec | NestedCodec
