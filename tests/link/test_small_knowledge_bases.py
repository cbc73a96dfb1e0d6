"""Knowledge bases that decide little: every codec answers, by label and by entry, with a probability."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.codebook.knowledge_base import codebook_of
from edge_rx.decoders.options import Answer, DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import LabelledImage, build_knowledge_base
from edge_rx.pipeline import Receiver
from edge_tx.model import TransmitterModel, load_transmitter_model
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from semlink.image import RGBImage
from tests.support.link import RATE, answers, model_of

CODECS = ("synthetic-codec", "nested", "nested-labels", "index", "index-labels", "adapted")

Labelling = Callable[[list[RGBImage]], list[tuple[str, RGBImage]]]
KINDS: dict[str, Labelling] = {
    "one entry": lambda images: [("a", images[0])],
    "one entry without a label": lambda images: [("", images[0])],
    "two entries": lambda images: [("a", images[0]), ("b", images[1])],
    "one label": lambda images: [("a", image) for image in images],
    "labels of one entry": lambda images: [(f"label {number}", image) for number, image in enumerate(images)],
    "identical": lambda images: [("", images[0])] * 12,
    "identical of one label": lambda images: [("a", images[0])] * 12,
    "identical of two labels": lambda images: [("a", images[0]), ("b", images[0])] * 6,
    "labels on some": lambda images: [
        (f"label {number % 2}" if number % 3 else "", image) for number, image in enumerate(images)
    ],
    "a label on one": lambda images: [("a" if number == 5 else "", image) for number, image in enumerate(images)],
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS), scope="module")
def entries(request: pytest.FixtureRequest, pictures: dict[str, RGBImage]) -> list[tuple[str, RGBImage]]:
    """Label and picture of each entry."""
    chosen: list[tuple[str, RGBImage]] = request.param(list(pictures.values()))
    return chosen


@pytest.fixture(scope="module")
def small_kb(
    entries: list[tuple[str, RGBImage]], models: ModelSet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KnowledgeBase]:
    folder: Path = tmp_path_factory.mktemp("small") / "KB"
    images = [LabelledImage(label, f"{number}.png", image) for number, (label, image) in enumerate(entries)]
    build_knowledge_base(images, folder, ImageEncoder(models), codecs=models.codecs, codebook_maker=codebook_of)
    with KnowledgeBase.open(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def transmitters(small_kb: KnowledgeBase, models: ModelSet) -> dict[str, TransmitterModel]:
    adapted = load_transmitter_model(models, RATE, codec=small_kb.newest_codebook())
    return {"adapted": adapted, **{codec: model_of(codec, RATE, small_kb, models) for codec in CODECS[:-1]}}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("answer", ["label", "nearest"])
def test_every_answer_has_a_probability(
    entries: list[tuple[str, RGBImage]],
    small_kb: KnowledgeBase,
    models: ModelSet,
    transmitters: dict[str, TransmitterModel],
    codec: str,
    answer: Answer,
) -> None:
    """In noise and without, and of pictures that the knowledge base does not have; without noise it is right."""
    receiver = Receiver(Decoders.of(models, small_kb, DecoderOptions(answer=answer)), small_kb)
    rng = np.random.default_rng(0)
    sent = {str(number): image for number, (_, image) in enumerate(entries)}
    others = {f"other {number}": rng.integers(0, 256, (10, 12, 3), dtype=np.uint8) for number in range(3)}
    for snr_db in (-15.0, 0.0, 30.0, 60.0):
        with np.errstate(all="raise", under="ignore"):
            matches = answers(transmitters[codec], RATE, receiver, {**sent, **others}, snr_db=snr_db)
        assert not receiver.rejected
        for match in matches:
            assert match is not None
            assert match.confidence is not None
            assert 0.0 <= match.confidence <= 1.0
            assert -1.001 <= match.score <= 1.001
            assert match.label == entries[match.entry_id][0]
        if snr_db >= 30.0:
            for (label, image), match in zip(entries, matches, strict=False):
                assert match is not None
                # Two entries do not tell a model where their label ends.
                is_guess = codec == "nested" and answer == "label"
                is_right = (label and match.label == label) or np.array_equal(entries[match.entry_id][1], image)
                assert is_right or is_guess
