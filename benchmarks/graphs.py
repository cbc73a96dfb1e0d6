"""The transmitter's graphs without the image encoder, which takes a hundred times as long; and the cost of a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx

from engines.backends.runner import GraphRunner, load_runner
from engines.graphs.compose import iq_head
from engines.graphs.nested import nested_encoder
from engines.models.codecs import Codec, PerRateCodec
from engines.models.knowledge_base_codebook import KnowledgeBaseCodebook
from semlink.iq import IQCodes
from semlink.rates import Rate

__all__ = [
    "BACKEND",
    "DEVICE",
    "SentCodec",
    "codec_encoder",
    "codec_encoder_graph",
    "codec_graphs",
    "graph_cost",
    "unit_features",
]

SentCodec: TypeAlias = Codec | KnowledgeBaseCodebook
"""A codec of the model set, or `adapted` by its codebook."""

BACKEND, DEVICE = "onnxruntime", "cpu"
"""Runtime and device of every graph of `make bench`, on every machine."""

_LAYERS = ("Conv", "Gemm", "MatMul")


def unit_features() -> np.ndarray:
    """(1, 512) float32 of unit length; the time does not depend on the values."""
    features = np.random.default_rng(0).standard_normal((1, 512)).astype(np.float32)
    return features / np.linalg.norm(features)


def codec_encoder_graph(codec: SentCodec, rate: Rate) -> Path | bytes:
    """Graph from features to latent: of one rate, or of all rates for low and for high SNR, as a transmitter has it."""
    if isinstance(codec, PerRateCodec):
        return codec.encoder_path(rate)
    code = codec.nested_code
    return nested_encoder(code.codebook, code.power_shares).SerializeToString()


def codec_encoder(codec: SentCodec, rate: Rate) -> GraphRunner:
    """Load the graph from features to latent."""
    return load_runner(codec_encoder_graph(codec, rate), backend=BACKEND, device=DEVICE)


def codec_graphs(codec: SentCodec, rate: Rate) -> Callable[[np.ndarray], IQCodes]:
    """Load the graphs from features (1, 512) to codes (n, 2).

    `nested` and `adapted` compute every rate for low and for high SNR, of which one rate for low SNR is kept.
    """
    encoder = codec_encoder(codec, rate)
    rates: Sequence[Rate] = (rate,)
    num_codes = 1
    if not isinstance(codec, PerRateCodec):
        rates, num_codes = [*codec.nested_code.fingerprints], len(codec.nested_code.power_shares)
    head = load_runner(iq_head(rates, num_codes=num_codes).SerializeToString(), backend=BACKEND, device=DEVICE)
    end = int(np.cumsum([each.num_symbols for each in rates])[rates.index(rate)])
    return lambda features: head(encoder(features))[0, end - rate.num_symbols : end]


def graph_cost(graph: Path | bytes) -> dict[str, float]:
    """Least memory traffic [bytes] and arithmetic of one image, under the names that a `Stage` has for them.

    Bytes are those of the weights of convolutions and matrix products, each read once in fp32, as ONNX Runtime holds
    them; operations are their multiplications and additions, two for each weight and output that it contributes to.
    """
    model = onnx.load(graph) if isinstance(graph, Path) else onnx.load_from_string(graph)
    model = onnx.shape_inference.infer_shapes(model)
    values = [*model.graph.value_info, *model.graph.output, *model.graph.input]
    # An axis without a size is the batch.
    shapes = {value.name: [axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim] for value in values}
    shapes |= {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    weights: dict[str, int] = {}
    operations = 0
    for node in (node for node in model.graph.node if node.op_type in _LAYERS):
        weight, output = shapes[node.input[1]], shapes[node.output[0]]
        weights[node.input[1]] = int(np.prod(weight))
        # Every axis of the weight but that of the output's features is summed over.
        num_features = output[1] if node.op_type == "Conv" else output[-1]
        operations += 2 * int(np.prod(output)) * int(np.prod(weight)) // num_features
    return {"bytes_moved": 4.0 * sum(weights.values()), "operations": float(operations)}
