"""A receiver that decodes and searches on a real GPU answers as the CPU does: `pytest -m gpu tests/gpu`."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs faiss-gpu")

from edge_rx.decoders.feature import GpuDecoder
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import build_knowledge_base, labelled_folder
from edge_rx.kb.gpu_search import SearchPrecision
from edge_rx.kb.index import open_search_device
from edge_rx.match import Match
from edge_rx.pipeline import Receiver
from engines.backends.target import missing_for_tensorrt
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.channel import complex_normal, pilot_symbols
from semlink.errors import EngineError
from semlink.frame import Frame, pack
from semlink.iq import CodesFormat, normalize_power, quantize
from semlink.message import Message

pytestmark = [pytest.mark.gpu, pytest.mark.trt]

BATCH = 8
TOLERANCE = {SearchPrecision.FP32: 1e-4, SearchPrecision.FP16: 5e-3}
"""Of cosines."""


@pytest.mark.parametrize("precision", list(SearchPrecision))
def test_answers_are_those_of_the_cpu(
    model_set: ModelSet, picture_folder: Path, tmp_path: Path, precision: SearchPrecision
) -> None:
    missing = missing_for_tensorrt()
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    try:
        gpu = open_search_device("gpu", precision)
    except EngineError as error:
        pytest.skip(str(error))
    build_knowledge_base(labelled_folder(picture_folder), tmp_path / "KB", ImageEncoder(model_set))
    codec, rng, messages = model_set.codec(), np.random.default_rng(0), []
    rate = codec.rates[0]
    for sequence in range(40):
        num_pilots, codes_format = (0, 1, 8)[sequence % 3], list(CodesFormat)[sequence % 3]
        said = normalize_power(complex_normal((rate.num_symbols,), rng))
        sent = np.concatenate([pilot_symbols(num_pilots), said]) * np.exp(1j * num_pilots)
        codes = quantize(sent.astype(np.complex64), codes_format) * np.int8(sequence != 5)  # one is silent
        codes = codes.astype(codes_format.dtype)
        messages.append(
            pack(Frame(1, sequence, 3, codec.fingerprint(rate), rate, codes, codes_format, num_pilots=num_pilots))
        )
    with (
        KnowledgeBase.open(tmp_path / "KB") as on_cpu,
        KnowledgeBase.open(tmp_path / "KB", gpu=gpu) as on_gpu,
    ):
        reference = Receiver(Decoders.of(model_set, on_cpu, DecoderOptions(answer="nearest")), on_cpu)
        options = DecoderOptions(backend="tensorrt", gpu=gpu, batch_size=BATCH, answer="nearest")
        decoders = Decoders.of(model_set, on_gpu, options)
        assert isinstance(decoders.decoder(codec.fingerprint(rate)), GpuDecoder)
        receiver = Receiver(decoders, on_gpu)
        expected = [match for data in messages if (match := reference.run_once(data)) is not None]
        got: list[Match] = []
        for start in range(0, len(messages), BATCH):
            got += receiver.run_batch(
                [Message(data, time.perf_counter_ns()) for data in messages[start:][:BATCH]]
            ).matches
    assert [match.frame_id for match in got] == [match.frame_id for match in expected]
    assert receiver.rejected == reference.rejected
    # Symbols that were drawn point nowhere, and two entries may be as near as each other.
    assert np.mean([a.entry_id == b.entry_id for a, b in zip(got, expected, strict=True)]) >= 0.9
    np.testing.assert_allclose(
        [match.score for match in got], [match.score for match in expected], atol=TOLERANCE[precision]
    )
