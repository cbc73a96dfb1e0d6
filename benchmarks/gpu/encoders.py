"""An image to codes at batch 1: a ViT-B/32 in torch, and the built-in model set's graph in every backend."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from itertools import product

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.gpu.timing import DeviceBench, SkipPart, captured
from engines.backends.onnxruntime.cpu import OnnxRuntimeRunner
from engines.backends.runner import load_runner
from engines.graphs.compose import compose_transmitter
from engines.graphs.nested import nested_encoder
from engines.graphs.quantize import at_precision
from engines.models.codecs import NestedCodec
from engines.models.model_set import ModelSet
from engines.options import Precision
from semlink.iq import dequantize
from semlink.report import Scalar
from trainer.codecs.kbsc import KbscNetwork

__all__ = ["VisionTransformer", "bench_builtin", "bench_vit"]

SIZE_PX, NUM_SYMBOLS = 224, 64
NUM_IMAGES = 4
_DTYPES = {Precision.FP32: torch.float32, Precision.FP16: torch.float16}
_LEAST_COSINE = {Precision.FP32: 0.9999, Precision.FP16: 0.995}
"""Of codes with those of single precision on the CPU: a few values round to another int8."""
_ON_GPU = ("onnxruntime", "onnxruntime-tensorrt")


class VisionTransformer(nn.Module):
    """The image tower of CLIP's ViT-B/32, by its shapes (arXiv 2103.00020, section 2.4; arXiv 2010.11929, table 1).

    Images (batch, 3, 224, 224), normalised, to features (batch, 512).
    """

    def __init__(
        self, *, width: int = 768, num_layers: int = 12, num_heads: int = 12, patch_px: int = 32, feature_dim: int = 512
    ) -> None:
        super().__init__()
        num_patches = (SIZE_PX // patch_px) ** 2
        self.patches = nn.Conv2d(3, width, patch_px, patch_px, bias=False)
        self.class_token = nn.Parameter(width**-0.5 * torch.randn(width))
        self.positions = nn.Parameter(width**-0.5 * torch.randn(num_patches + 1, width))
        self.norm_before = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(_Layer(width, num_heads) for _ in range(num_layers)))
        self.norm_after = nn.LayerNorm(width)
        self.projection = nn.Parameter(width**-0.5 * torch.randn(width, feature_dim))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of a batch."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        first = self.class_token.expand(len(tokens), 1, -1)
        tokens = torch.cat([first, tokens], dim=1) + self.positions
        tokens = self.layers(self.norm_before(tokens))
        return self.norm_after(tokens[:, 0]) @ self.projection


class _Layer(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_attention, self.norm_perceptron = nn.LayerNorm(width), nn.LayerNorm(width)
        self.into_heads, self.out_of_heads = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        batch, length, width = tokens.shape
        heads = self.into_heads(self.norm_attention(tokens))
        query, key, value = heads.view(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.out_of_heads(attended.transpose(1, 2).reshape(batch, length, width))
        wide = self.widen(self.norm_perceptron(tokens))
        return tokens + self.narrow(wide * torch.sigmoid(1.702 * wide))


class _Transmitter(nn.Module):
    """uint8 image (1, 224, 224, 3) to int8 codes (n, 2): preprocessing, tower, the paper's codec, quantization."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self.codec = KbscNetwork(512, 2 * NUM_SYMBOLS).encoder
        # CLIP's, of pixels in 0 .. 255.
        self.register_buffer("mean", torch.tensor([122.77, 116.75, 104.09]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([68.5, 66.63, 70.32]).view(1, 3, 1, 1))
        self.code_step = float(dequantize(np.array([[1, 0]], np.int8))[0].real)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pixels = (image.permute(0, 3, 1, 2).to(self.mean.dtype) - self.mean) / self.std
        features = self.tower(pixels)
        latent = self.codec(features / features.norm(dim=1, keepdim=True)).float().view(-1, 2)
        symbols = latent / latent.square().sum(dim=1).mean().sqrt()
        return (symbols / self.code_step).round().clamp(-127, 127).to(torch.int8)


def bench_vit(bench: DeviceBench) -> None:
    """Time an image in the device's memory to codes there."""
    torch.manual_seed(0)
    network = _Transmitter(VisionTransformer()).eval()
    images = _images()
    with torch.no_grad():
        expected = [network(torch.from_numpy(image)).numpy() for image in images]
    num_weights = sum(weights.numel() for weights in network.parameters())
    for precision, dtype in _DTYPES.items():
        stem = f"image_to_codes_vit_b32_{precision.value}_torch"
        with bench.part(stem):
            bench.require_free(num_weights * dtype.itemsize)
            moved = deepcopy(network).to(bench.device, dtype)
            on_device = [torch.from_numpy(image).to(bench.device) for image in images]
            _time_vit(bench, moved, on_device, stem, _CodesChecker(expected, precision), precision, num_weights)


def _time_vit(
    bench: DeviceBench,
    network: nn.Module,
    images: list[torch.Tensor],
    stem: str,
    check: _CodesChecker,
    precision: Precision,
    num_weights: int,
) -> None:
    image = images[0].clone()
    codes = torch.zeros((NUM_SYMBOLS, 2), dtype=torch.int8, device=bench.device)

    def work() -> None:
        codes.copy_(network(image))

    for is_graph in (False, True):
        name = f"{stem}{'_cuda_graph' if is_graph else ''}"
        with bench.part(name), torch.no_grad():
            if is_graph and not bench.is_cuda:
                raise SkipPart("a CPU has no CUDA graphs")
            run = captured(work) if is_graph else work

            def call(number: int, run: Callable[[], None] = run) -> torch.Tensor:
                image.copy_(images[number % NUM_IMAGES])
                run()
                return codes

            bench.time(
                name,
                call,
                lambda number, result: check(number, result.cpu().numpy()),
                notes={"precision": precision.value, "cuda_graph": is_graph},
                bytes_moved=num_weights * _DTYPES[precision].itemsize,  # batch 1 reads every weight
                operations=2 * num_weights * 50,  # each of the 50 tokens is multiplied by nearly all of them
            )


def bench_builtin(bench: DeviceBench) -> None:
    """Time an image in host memory to codes there, by the graph that `semlink tx` runs."""
    images = _images()
    reference = OnnxRuntimeRunner(_builtin_graph(Precision.FP32), num_threads=torch.get_num_threads())
    expected = [reference(image) for image in images]
    for precision in _DTYPES:
        graph = b""
        stem = f"image_to_codes_builtin_{precision.value}"
        with bench.part(f"{stem}_graph"):
            graph = _builtin_graph(precision)
        if not graph:
            continue
        check = _CodesChecker(expected, precision)
        for backend, device in product(_ON_GPU, ["gpu"]) if bench.is_cuda else [("onnxruntime", "cpu")]:
            with bench.part(f"{stem}_{backend}_{device}"):
                _time_onnxruntime(bench, graph, backend, device, images, stem, check, precision)
        with bench.part(f"{stem}_tensorrt"):
            _time_tensorrt(bench, graph, images, stem, check, precision)


def _builtin_graph(precision: Precision) -> bytes:
    model_set = ModelSet.find("builtin")
    codec = model_set.codec("nested")
    assert isinstance(codec, NestedCodec)
    encoder = at_precision(model_set.encoder_path, precision)
    return compose_transmitter([encoder, nested_encoder(codec.codebook)], codec.rates)


def _time_onnxruntime(
    bench: DeviceBench,
    graph: bytes,
    backend: str,
    device: str,
    images: list[np.ndarray],
    stem: str,
    check: _CodesChecker,
    precision: Precision,
) -> None:
    runner = load_runner(
        graph, backend=backend, device=device, num_threads=torch.get_num_threads(), precision=precision.value
    )
    bench.time(
        f"{stem}_{backend}_{device}",
        lambda number: runner(images[number % NUM_IMAGES]),
        check,
        has_events=False,
        notes={"precision": precision.value, "engine": runner.description},
    )


def _time_tensorrt(
    bench: DeviceBench,
    graph: bytes,
    images: list[np.ndarray],
    stem: str,
    check: _CodesChecker,
    precision: Precision,
) -> None:
    bench.require_tensorrt()
    from engines.backends.tensorrt.runner import TensorRtRunner

    for use_cuda_graph in (False, True):
        name = f"{stem}_tensorrt{'_cuda_graph' if use_cuda_graph else ''}"
        with TensorRtRunner(graph, precision=precision.value, use_cuda_graph=use_cuda_graph) as runner:
            notes: dict[str, Scalar] = {"precision": precision.value, "cuda_graph": use_cuda_graph}
            bench.time(name, lambda n: runner(images[n % NUM_IMAGES]), check, has_events=False, notes=notes)
            times_s = [runner.device_ms(images[n % NUM_IMAGES]) / 1e3 for n in range(bench.num_rounds)]
            bench.add(f"{name}_on_device", times_s, {"clock": "CUDA events", **notes})


class _CodesChecker:
    """Codes must have the direction of those of single precision on the CPU."""

    def __init__(self, expected: list[np.ndarray], precision: Precision) -> None:
        self._expected = [codes.astype(np.float64).ravel() for codes in expected]
        self._least = _LEAST_COSINE[precision]

    def __call__(self, number: int, codes: np.ndarray) -> None:
        vector, expected = codes.astype(np.float64).ravel(), self._expected[number % NUM_IMAGES]
        norms = float(np.linalg.norm(vector) * np.linalg.norm(expected))
        cosine = float(vector @ expected) / max(norms, 1e-12)
        if not cosine >= self._least:
            raise RuntimeError(f"codes have a cosine of {cosine:.5f} with the CPU's, under {self._least}")


def _images() -> list[np.ndarray]:
    """Smooth, distinct images (1, 224, 224, 3) uint8; features of noise would all be alike."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (NUM_IMAGES, 3, 7, 7)))
    smooth = functional.interpolate(coarse, size=(SIZE_PX, SIZE_PX), mode="bicubic").clamp(0, 255)
    return [image[None] for image in smooth.permute(0, 2, 3, 1).to(torch.uint8).contiguous().numpy()]
