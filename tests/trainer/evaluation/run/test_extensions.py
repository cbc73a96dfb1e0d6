"""An evaluation is open to codecs and encoders of a user and of other packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")


from engines.models.model_set import ModelSet
from semlink.errors import ConfigError
from semlink.image import Preprocessing
from semlink.rates import Rate
from tests.support.codec_packages import InstallPackage
from tests.support.encoders import write_image_graph
from trainer.codecs.spec import CodecSpec
from trainer.encoders.callable_encoder import CallableEncoder
from trainer.evaluation import EvaluationReport
from trainer.links.base import Link, LinkInputs, MakeLink
from trainer.links.conditions import LinkConditions
from trainer.links.retrieval import NoiselessRetrieval, RetrievalScores, score_retrieval

Evaluated = Callable[..., EvaluationReport]


@dataclass(frozen=True)
class SignLink(Link):
    """A user's own link: the signs of the features, two to a symbol, over a channel without noise."""

    rate: Rate

    def retrieve(
        self, noiseless: NoiselessRetrieval, conditions: LinkConditions, rng: np.random.Generator
    ) -> RetrievalScores:
        return score_retrieval(np.sign(noiseless.features).astype(np.float32), noiseless)


def sign_links(inputs: LinkInputs) -> MakeLink:
    return lambda _model, rate, _seed: SignLink(rate)


SIGNS = CodecSpec(name="signs", summary="signs of the features", links=sign_links)
CODEC_PACKAGE = """
from trainer.codecs.spec import CodecSpec

SPEC = CodecSpec(name="theirs", summary="", links="trainer.links.graph_link:uncoded_links")
"""
CHANNEL_PACKAGE = """
import numpy as np

from semlink.channel import ChannelOutput, CustomChannel


def rotate(shape):
    def apply(symbols, snr_db, rng):
        gains = np.exp(2j * np.pi * rng.random(shape(symbols))).astype(np.complex64)
        return ChannelOutput(gains * symbols, gains, 0.0)

    return apply


BLOCK = CustomChannel("block", rotate(lambda x: (len(x), 1)), is_block_fading=True, rotates_phase=True)
FAST = CustomChannel("fast", rotate(lambda x: x.shape), rotates_phase=True)
"""


def test_codec_of_your_own_is_evaluated(evaluated: Evaluated, model_set: ModelSet) -> None:
    report = evaluated(codecs=["index", SIGNS], model_set=str(model_set.folder))
    assert {record.codec for record in report.records} == {"index", "signs"}
    assert all(record.semantic_accuracy > 0.3 for record in report.records if record.codec == "signs")


def test_fit_without_a_model_for_every_key_is_named(evaluated: Evaluated, model_set: ModelSet) -> None:
    def fit_nothing(keys: Any, context: Any) -> dict[Any, Any]:
        return {}

    spec = CodecSpec(name="empty", summary="", links=sign_links, fit=fit_nothing)
    with pytest.raises(ConfigError, match="codec empty: its fit returned no model for FitKey"):
        evaluated(codecs=[spec], model_set=str(model_set.folder))


def test_codec_of_an_installed_package_is_evaluated_by_name(
    evaluated: Evaluated, model_set: ModelSet, install_package: InstallPackage
) -> None:
    install_package(CODEC_PACKAGE, theirs="SPEC")
    report = evaluated(codecs=["theirs"], rates=[8], model_set=str(model_set.folder))
    assert {record.codec for record in report.records} == {"theirs"}


def test_fading_channel_of_an_installed_package_is_evaluated_by_name(
    evaluated: Evaluated, model_set: ModelSet, install_package: InstallPackage
) -> None:
    """Its one gain for each image is estimated from pilots, and its gain for each symbol known to a genie alone."""
    install_package(CHANNEL_PACKAGE, group="semlink.channels", block="BLOCK", fast="FAST")
    report = evaluated(codecs=["index"], channels=["block", "fast"], model_set=str(model_set.folder))
    assert {(record.channel, record.csi, record.num_pilots) for record in report.records} == {
        ("block", "pilots", 8),
        ("fast", "genie", 0),
    }
    for record in report.records:
        assert record.semantic_accuracy == pytest.approx(report.noiseless_accuracy, abs=0.05), record


CORNERS = CallableEncoder(
    name="corners",
    function=lambda images: images[:, ::3, ::3].reshape(len(images), -1) - 100.0,
    feature_dim=27,
    preprocessing=Preprocessing(8),
    version="1",
)


def test_encoder_of_your_own_is_evaluated(evaluated: Evaluated) -> None:
    report = evaluated(codecs=["nested", "index"], encoder=CORNERS, weights="auto")
    assert (report.encoder, report.encoder_fingerprint, report.weights) == ("corners", CORNERS.fingerprint, "trained")
    assert report.settings["encoder"] == "corners"
    high_snr = {record.codec: record.semantic_accuracy for record in report.records if record.snr_db == 20.0}
    assert high_snr["index"] == pytest.approx(report.noiseless_accuracy, abs=0.05)


def test_encoder_of_an_installed_package_is_evaluated_by_name(
    evaluated: Evaluated, tmp_path: Path, install_package: InstallPackage
) -> None:
    graph = write_image_graph(tmp_path / "graph.onnx", dtype="uint8")
    source = (
        "from pathlib import Path\n"
        "from trainer.encoders.onnx_encoder import OnnxEncoder\n"
        f"ENCODER = OnnxEncoder(name='theirs', graph=Path({str(graph)!r}), licence='none')\n"
    )
    install_package(source, group="semlink.encoders", theirs="ENCODER")
    report = evaluated(codecs=["index"], encoder="theirs")
    assert (report.encoder, len(report.records)) == ("theirs", 2)


def test_codecs_of_a_model_set_do_not_suit_another_encoder(evaluated: Evaluated) -> None:
    with pytest.raises(ConfigError, match="use --weights trained with --encoder"):
        evaluated(codecs=["nested"], encoder=CORNERS, weights="model-set")
    with pytest.raises(ConfigError, match='encoder "unknown" is unknown; choose from: builtin'):
        evaluated(codecs=["nested"], encoder="unknown")
