"""Which codecs a receiver serves, and what it says of the others."""

from __future__ import annotations

import itertools
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_rx.codebook.knowledge_base import codebook_of
from edge_rx.decoders.adapted import AdaptedSignals
from edge_rx.decoders.detectors import nested_detectors
from edge_rx.decoders.feature import GraphDecoder
from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.options import Answer, DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.decoders.signal import SignalDecoder
from edge_rx.decoders.templates import SignalTemplates
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import build_knowledge_base, labelled_folder
from edge_rx.kb.gpu_search import GpuSearch, SearchPrecision
from edge_rx.kb.manifest import RECORDS_FILE, read_manifest
from edge_rx.noise import NoiseEstimator
from edge_rx.pipeline import Receiver
from edge_rx.reporter import Reporter
from engines.models.codecs import NestedCodec
from engines.models.image_encoder import ImageEncoder
from engines.models.knowledge_base_codebook import ADAPTED, ADAPTED_HIGH_SNR, KnowledgeBaseCodebook, label_hashes
from engines.models.model_set import ModelSet
from semlink.errors import ConfigError, DecodeError, KnowledgeBaseError
from semlink.frame import Frame, pack
from semlink.iq import normalize_power, pair_latent
from semlink.rates import RATES, Rate, parse_rate
from semlink.receiver_report import ReceiverReport
from tests.support.frames import frame_of
from tests.support.recording_faiss import RecordingFaiss

RATE = parse_rate("64")
ALL = DecoderOptions(with_high_snr_code=True)


def adapted_frame(
    codebook: KnowledgeBaseCodebook,
    features: np.ndarray,
    sequence: int,
    *,
    rate: Rate = RATE,
    num_pilots: int = 0,
    is_high_snr: bool = False,
) -> Frame:
    code = codebook.code.for_high_snr() if is_high_snr else codebook.code
    sent = normalize_power(pair_latent(code.latent(features[None])[:, : rate.latent_dim]))[0]
    return frame_of(codebook.fingerprint(rate, is_high_snr=is_high_snr), sent, 7, sequence, num_pilots=num_pilots)


def label_sent(codebook: KnowledgeBaseCodebook, features: np.ndarray, labels: list[str], entry: int) -> str:
    """Label that a transmitter decides for the picture of an entry; the entry's own where cells have no labels."""
    names = dict(zip(label_hashes(labels).tolist(), labels, strict=True))
    cell = codebook.code.cells(codebook.code.directions(features[[entry]]))[0]
    return names.get(int(codebook.cell_labels[cell]), labels[entry])


@pytest.fixture(scope="module")
def rebuilt_kb(
    tmp_path_factory: pytest.TempPathFactory, built_kb: Path, picture_folder: Path, encoder: ImageEncoder
) -> Path:
    """A knowledge base of 11 of the 12 pictures, with the codebook of all 12 as the earlier one; not to be changed."""
    folder = Path(shutil.copytree(built_kb, tmp_path_factory.mktemp("rebuilt") / "KB"))
    images = labelled_folder(picture_folder)[:11]
    build_knowledge_base(images, folder, encoder, codebook_maker=codebook_of, replace=True)
    return folder


@pytest.fixture
def rebuilt(rebuilt_kb: Path, model_set: ModelSet) -> Iterator[KnowledgeBase]:
    with KnowledgeBase.open(rebuilt_kb, model_set.encoder_fingerprint) as opened:
        yield opened


@pytest.mark.parametrize("is_high_snr", [False, True])
@pytest.mark.parametrize("number", [0, 1], ids=["newest", "earlier"])
def test_adapted_is_decoded_with_the_codebook_of_the_frame(
    rebuilt: KnowledgeBase, model_set: ModelSet, number: int, is_high_snr: bool
) -> None:
    receiver = Receiver(Decoders.of(model_set, rebuilt, ALL), rebuilt)
    codebook, features, labels = rebuilt.codebooks()[number], rebuilt.features(), [*rebuilt.entry_labels()]
    sequences = itertools.count()
    for rate in RATES[2:]:
        for entry, vector in enumerate(features):
            frame = adapted_frame(codebook, vector, next(sequences), rate=rate, num_pilots=4, is_high_snr=is_high_snr)
            match = receiver.run_once(pack(frame))
            assert match is not None
            assert match.label == label_sent(codebook, features, labels, entry)
            assert match.codec == (ADAPTED_HIGH_SNR if is_high_snr else ADAPTED)
            assert 0.0 < match.score <= 1.0
    assert not receiver.rejected


def test_signals_of_earlier_codebooks_are_computed_by_the_first_frame(
    rebuilt: KnowledgeBase, model_set: ModelSet, caplog: pytest.LogCaptureFixture
) -> None:
    recording = RecordingFaiss()
    options = DecoderOptions(rates=[RATE], gpu=GpuSearch(recording, SearchPrecision.FP32), answer="nearest")
    with caplog.at_level(logging.INFO, logger="edge_rx.decoders.codecs"):
        receiver = Receiver(Decoders.of(model_set, rebuilt, options), rebuilt)
        newest, earlier = rebuilt.codebooks()
        for sequence, codebook in enumerate([newest, newest]):
            assert receiver.run_once(pack(adapted_frame(codebook, rebuilt.features()[0], sequence))) is not None
        held = len(recording.named("hold"))
        assert not caplog.records
        for sequence in (2, 3):
            assert receiver.run_once(pack(adapted_frame(earlier, rebuilt.features()[0], sequence))) is not None
    assert len(recording.named("hold")) == held + 1, "on the GPU too"
    (record,) = caplog.records
    assert record.getMessage().startswith("an earlier codebook is still in use: computing its signals")


def test_the_high_snr_code_is_served_to_those_who_receive_reports(
    knowledge_base: KnowledgeBase, model_set: ModelSet
) -> None:
    codebook = knowledge_base.newest_codebook()
    decoders = Decoders.of(model_set, knowledge_base)
    assert decoders.decoder(codebook.fingerprint(RATE)).codec == ADAPTED
    with pytest.raises(DecodeError, match=r"codec not served: a code for high SNR.*--feedback"):
        decoders.decoder(codebook.fingerprint(RATE, is_high_snr=True))


def test_rates_that_are_not_served_are_named(rebuilt: KnowledgeBase, model_set: ModelSet) -> None:
    decoders = Decoders.of(model_set, rebuilt, DecoderOptions(rates=[RATE], with_high_snr_code=True))
    for codebook in rebuilt.codebooks():
        for is_high_snr in (False, True):
            for rate, fingerprint in codebook.fingerprints(is_high_snr=is_high_snr).items():
                if rate == RATE:
                    decoders.decoder(fingerprint)
                    continue
                with pytest.raises(DecodeError, match=f"at {rate.num_symbols} symbols: this receiver serves other"):
                    decoders.decoder(fingerprint)


def test_frames_of_an_unknown_codebook_are_rejected(
    knowledge_base: KnowledgeBase, rebuilt: KnowledgeBase, model_set: ModelSet
) -> None:
    receiver = Receiver(Decoders.of(model_set, knowledge_base), knowledge_base)
    codebook = rebuilt.newest_codebook()
    assert codebook.sha256 not in receiver.codebooks
    with pytest.raises(
        DecodeError, match=r"unknown models.* no codec of model set .* neither a codebook.*export-codebook"
    ):
        Decoders.of(model_set, knowledge_base).decoder(codebook.fingerprint(RATE))
    assert receiver.run_once(pack(adapted_frame(codebook, rebuilt.features()[0], 0))) is None
    assert receiver.rejected.total() == 1


def test_a_knowledge_base_without_a_codebook_says_once_what_to_do(
    tmp_path: Path,
    picture_folder: Path,
    encoder: ImageEncoder,
    model_set: ModelSet,
    caplog: pytest.LogCaptureFixture,
) -> None:
    build_knowledge_base(labelled_folder(picture_folder), tmp_path / "KB", encoder)
    with KnowledgeBase.open(tmp_path / "KB") as knowledge_base, caplog.at_level(logging.WARNING):
        decoders = Decoders.of(model_set, knowledge_base)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"adapted is not served: the knowledge base has no codebook; semlink kb make-codebook {tmp_path / 'KB'}"
    )
    assert decoders.codebooks == ()
    assert decoders.decoder(model_set.codec().fingerprint(RATE)).codec == model_set.codec().name


def test_a_damaged_codebook_fails_the_start(tmp_path: Path, rebuilt_kb: Path, model_set: ModelSet) -> None:
    folder = Path(shutil.copytree(rebuilt_kb, tmp_path / "KB"))
    (folder / read_manifest(folder).codebooks[0].file).write_bytes(b"PK")
    with (
        KnowledgeBase.open(folder) as knowledge_base,
        pytest.raises(KnowledgeBaseError, match=r"codebook.*semlink kb make-codebook"),
    ):
        Decoders.of(model_set, knowledge_base)


def test_damaged_records_fail_the_start(kb_folder: Path, every_codec: ModelSet) -> None:
    """Labels are read at the start, also those on pages that nothing has read before."""
    with closing(sqlite3.connect(kb_folder / RECORDS_FILE)) as records:
        (page_bytes,) = records.execute("PRAGMA page_size").fetchone()
        (first_page,) = records.execute("SELECT rootpage FROM sqlite_master WHERE name = 'entries'").fetchone()
    with (kb_folder / RECORDS_FILE).open("r+b") as file:
        file.seek((first_page - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)
    with (
        KnowledgeBase.open(kb_folder) as knowledge_base,
        pytest.raises(KnowledgeBaseError, match="records are damaged, build the knowledge base again"),
    ):
        Decoders.of(every_codec, knowledge_base)


def test_a_rebuild_under_a_running_receiver(
    tmp_path: Path, rebuilt_kb: Path, picture_folder: Path, encoder: ImageEncoder, model_set: ModelSet
) -> None:
    """It goes on with what it has read; signals of an earlier codebook are computed after their files have gone."""
    folder = Path(shutil.copytree(rebuilt_kb, tmp_path / "KB"))
    with Receiver.open(folder, model_set=str(model_set.folder)) as receiver:
        with KnowledgeBase.open(folder) as before:
            codebooks, features = before.codebooks(), before.features()
            labels = [*before.entry_labels()]
        build_knowledge_base(
            labelled_folder(picture_folder)[4:], folder, encoder, codebook_maker=codebook_of, replace=True
        )
        assert receiver.codebooks == tuple(codebook.sha256 for codebook in codebooks)
        for number, codebook in enumerate(codebooks):
            for entry in range(len(labels)):
                match = receiver.run_once(pack(adapted_frame(codebook, features[entry], number * 100 + entry)))
                assert match is not None
                assert match.label == label_sent(codebook, features, labels, entry)
    with Receiver.open(folder, model_set=str(model_set.folder)) as receiver:
        assert receiver.codebooks[1:] == tuple(codebook.sha256 for codebook in codebooks)
        match = receiver.run_once(pack(adapted_frame(codebooks[1], features[-1], 0)))
        assert match is not None
        assert match.label == label_sent(codebooks[1], features, labels, len(labels) - 1)


@pytest.mark.parametrize("codec", ["nested", ADAPTED])
def test_answers_are_by_label_or_by_entry(knowledge_base: KnowledgeBase, every_codec: ModelSet, codec: str) -> None:
    features, labels = knowledge_base.features(), knowledge_base.entry_labels()
    if codec == ADAPTED:
        codebook = knowledge_base.newest_codebook()
        signals = AdaptedSignals.of(codebook, features, labels)
        fingerprint, templates = codebook.fingerprint(RATE), signals.blind
        by_label = signals.detectors([RATE])[RATE]
    else:
        nested = every_codec.codec("nested")
        assert isinstance(nested, NestedCodec)
        fingerprint = nested.fingerprint(RATE)
        templates = SignalTemplates.of(nested.codebook, features)
        by_label = nested_detectors([nested.codebook], features, labels, [RATE])[0][RATE]
    expected = {"label": by_label, "nearest": MapDetector(replace(templates, groups=None), RATE)}
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal((200, 64)) + 1j * rng.standard_normal((200, 64))).astype(np.complex64)
    answers = {}
    for answer, detector in expected.items():
        queries = detector.queries(noise, np.full(200, 5.0))
        decoder = Decoders.of(every_codec, knowledge_base, DecoderOptions(answer=answer)).decoder(fingerprint)
        answers[answer] = [candidate.entry_id for candidate in decoder.search(queries)]
        assert answers[answer] == [candidate.entry_id for candidate in detector.match(queries)]
    assert answers["label"] != answers["nearest"]


def test_a_codec_with_a_network_is_answered_by_it_or_by_label(
    knowledge_base: KnowledgeBase, model_set: ModelSet
) -> None:
    fingerprint = model_set.codec().fingerprint(RATE)
    by_label, nearest = (
        Decoders.of(model_set, knowledge_base, DecoderOptions(answer=answer)).decoder(fingerprint)
        for answer in ("label", "nearest")
    )
    assert isinstance(by_label, SignalDecoder)
    assert isinstance(nearest, GraphDecoder)
    received = np.ones(1 + RATE.num_symbols, np.complex64)
    for decoder in (by_label, nearest):  # a codec whose network needs no noise variance may send one pilot
        (found,) = decoder.search(decoder.decode(decoder.equalize(received, num_pilots=1, noise=NoiseEstimator())))
        assert found is not None


@pytest.mark.parametrize("answer", ["label", "nearest"])
def test_a_codec_with_a_network_is_answered_by_it_without_labels(
    tmp_path: Path, picture_folder: Path, encoder: ImageEncoder, model_set: ModelSet, answer: Answer
) -> None:
    unlabelled = [replace(image, label="") for image in labelled_folder(picture_folder)]
    build_knowledge_base(unlabelled, tmp_path / "KB", encoder)
    with KnowledgeBase.open(tmp_path / "KB") as knowledge_base:
        decoders = Decoders.of(model_set, knowledge_base, DecoderOptions(answer=answer))
        assert isinstance(decoders.decoder(model_set.codec().fingerprint(RATE)), GraphDecoder)


def test_another_answer_is_refused() -> None:
    with pytest.raises(ConfigError, match="answer must be one of label, nearest, got best"):
        DecoderOptions(answer="best")


def test_reports_name_the_codebooks(rebuilt: KnowledgeBase, model_set: ModelSet) -> None:
    published: list[ReceiverReport] = []

    class Publisher:
        is_codebook_wanted = False

        def publish(self, report: ReceiverReport) -> None:
            published.append(ReceiverReport.unpack(report.pack()))

    receiver = Receiver(Decoders.of(model_set, rebuilt), rebuilt)
    Reporter(Publisher()).report(receiver)
    (report,) = published
    assert report.codebooks == tuple(codebook.sha256 for codebook in rebuilt.codebooks())
    assert len(report.codebooks) == 2
