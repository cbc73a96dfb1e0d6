"""Export a trained encoder and decoder to ONNX, batch normalisation folded into the second linear layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import torch
from torch import nn

from engines.onnx_model import IR_VERSION, OPSET
from semlink.errors import EngineError
from trainer.codecs.kbsc import KbscNetwork, fold_batch_norm

__all__ = ["export_codec"]


def export_codec(network: KbscNetwork, encoder_path: Path, decoder_path: Path) -> None:
    """Write the graphs features -> latent and received latent -> query.

    Weights are stored as fp16 and cast to fp32 before they are used, and a runtime removes the cast when it loads the
    graph: half the bytes, fp32 arithmetic, and the same codec on every machine.
    """
    for path, half, ends in (
        (encoder_path, network.encoder, ("features", "latent")),
        (decoder_path, network.decoder, ("latent", "query")),
    ):
        onnx.save(_graph(half, *ends), path)


def _graph(half: nn.Sequential, input_name: str, output_name: str) -> onnx.ModelProto:
    first, _, second, norm = half
    folded_weight, folded_bias = fold_batch_norm(second, norm)
    parameters = {
        "weight_1": first.weight,
        "bias_1": first.bias,
        "weight_2": folded_weight,
        "bias_2": folded_bias,
    }
    helper = onnx.helper
    casts = [helper.make_node("Cast", [f"{name}_fp16"], [name], to=onnx.TensorProto.FLOAT) for name in parameters]
    nodes = [
        *casts,
        helper.make_node("Gemm", [input_name, "weight_1", "bias_1"], ["hidden"], transB=1),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "weight_2", "bias_2"], [output_name], transB=1),
    ]
    stored = [onnx.numpy_helper.from_array(_as_fp16(value), f"{name}_fp16") for name, value in parameters.items()]
    graph = helper.make_graph(
        nodes,
        f"{input_name} to {output_name}",
        [helper.make_tensor_value_info(input_name, onnx.TensorProto.FLOAT, ["batch", first.in_features])],
        [helper.make_tensor_value_info(output_name, onnx.TensorProto.FLOAT, ["batch", second.out_features])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _as_fp16(value: torch.Tensor) -> np.ndarray:
    largest = float(value.detach().abs().max())
    if not largest <= float(np.finfo(np.float16).max):
        raise EngineError(f"a codec weight of {largest:g} does not fit fp16; the training diverged")
    return np.asarray(value.detach().numpy(), dtype=np.float16)
