"""A transmitter that follows the receiver's reports."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")


from edge_rx.decoders.registry import Decoders
from edge_rx.kb import KnowledgeBase
from edge_rx.pipeline import Receiver
from edge_rx.reporter import Reporter
from edge_tx.adaptation import MAX_AGE_S, Adaptation
from edge_tx.candidates import AdaptedCandidate, IndexCandidate
from edge_tx.model import load_index_model, load_transmitter_model
from edge_tx.pipeline import Plan, Transmitter
from engines.models.model_set import ModelSet
from semlink.feedback import ReportPublisher, ReportSubscriber
from semlink.image import RGBImage
from semlink.rates import parse_rate
from semlink.receiver_report import ReceiverReport
from tests.support.codebooks import small_codebook
from tests.support.deadlines import wait_until
from tests.support.link import RATE, answers, entries_of


class Reports:
    """Reports that a test hands over."""

    def __init__(self) -> None:
        self.next: ReceiverReport | None = None

    def newest(self) -> ReceiverReport | None:
        report, self.next = self.next, None
        return report


def adapted_of(models: ModelSet) -> AdaptedCandidate:
    codebook = small_codebook(models.encoder_fingerprint)
    return AdaptedCandidate.of(load_transmitter_model(models, RATE, codec=codebook), codebook)


def adapt(adaptation: Adaptation, reports: Reports, transmitter: Transmitter) -> Plan:
    """Plan the next image as a session does."""
    expects_fades = transmitter.num_pilots > 0
    return adaptation.plan(reports, stream_id=transmitter.stream_id, expects_fades=expects_fades)


class TestAdaptation:
    @pytest.fixture
    @staticmethod
    def transmitter(models: ModelSet) -> Transmitter:
        return Transmitter(load_transmitter_model(models, RATE, codec="nested"), RATE, lambda data: None)

    def test_index_only_while_the_receiver_has_the_knowledge_base(
        self, models: ModelSet, kb: KnowledgeBase, transmitter: Transmitter, caplog: pytest.LogCaptureFixture
    ) -> None:
        nested = transmitter.plan.model
        index, reports = load_index_model(models, entries_of(kb, models)), Reports()
        adaptation = Adaptation(nested, RATE, [IndexCandidate(index)], adapts_rate=False)
        assert adapt(adaptation, reports, transmitter).model is nested, "nothing is known of the receiver yet"
        reports.next = ReceiverReport(knowledge_base=kb.fingerprint.hex())
        adapt(adaptation, reports, transmitter)
        assert adapt(adaptation, reports, transmitter).model is index
        reports.next = ReceiverReport(knowledge_base="0" * 64)
        assert adapt(adaptation, reports, transmitter).model is nested
        assert caplog.text.count("export it again") == 1

    def test_entries_that_are_stale_from_the_start_are_logged(
        self, models: ModelSet, kb: KnowledgeBase, transmitter: Transmitter, caplog: pytest.LogCaptureFixture
    ) -> None:
        """At the level that a user sees without --verbose."""
        reports = Reports()
        index = IndexCandidate(load_index_model(models, entries_of(kb, models)))
        adaptation = Adaptation(transmitter.plan.model, RATE, [index], adapts_rate=False)
        adapt(adaptation, reports, transmitter)
        assert not adaptation.has_report
        reports.next = ReceiverReport(knowledge_base="0" * 64)
        adapt(adaptation, reports, transmitter)
        assert adaptation.has_report
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "not of the receiver's knowledge base" in caplog.text

    @pytest.mark.parametrize(("codec", "expected"), [("nested-cells", [256, 64, 16]), ("nested", [1024, 256, 64])])
    def test_rate_follows_the_reported_snr(
        self,
        codec: str,
        expected: list[int],
        transmitter: Transmitter,
        models: ModelSet,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """An analog signal takes more symbols than a codeword."""
        reports = Reports()
        adaptation = Adaptation(load_transmitter_model(models, RATE, codec=codec), parse_rate("128"), adapts_rate=True)
        rates = []
        for snr_db in (None, -7.0, 0.0, 10.0):
            stream = {} if snr_db is None else {f"{transmitter.stream_id:016x}": snr_db}
            reports.next = ReceiverReport(knowledge_base="0" * 64, snr_db=stream)
            rates.append(adapt(adaptation, reports, transmitter).rate.num_symbols)
        assert rates == [128, *expected]
        now_s = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now_s + MAX_AGE_S + 1)
        assert adapt(adaptation, reports, transmitter).rate.num_symbols == 128, "an old report has no effect"

    @pytest.mark.parametrize(
        ("num_pilots", "expected"),
        [(0, [False, False, True, True, False, True]), (8, [False, False, False, True, False, False])],
    )
    def test_power_is_shared_for_a_high_snr_while_one_is_reported(
        self,
        models: ModelSet,
        num_pilots: int,
        expected: list[bool],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """With pilots, a mean SNR must leave room for fades."""
        caplog.set_level("INFO")
        blind, reports = load_transmitter_model(models, RATE, codec="nested-cells"), Reports()
        transmitter = Transmitter(blind, RATE, lambda data: None, num_pilots=num_pilots)
        adaptation, chosen = Adaptation(blind, RATE, adapts_rate=False), []
        for snr_db in (None, -4.0, 4.0, 12.0, -4.0, 0.0):
            stream = {} if snr_db is None else {f"{transmitter.stream_id:016x}": snr_db}
            reports.next = ReceiverReport(knowledge_base="0" * 64, snr_db=stream)
            chosen.append(adapt(adaptation, reports, transmitter).model is blind.for_high_snr)
        assert chosen == expected
        messages = [record.getMessage() for record in caplog.records if record.getMessage().startswith("sending with")]
        assert (
            messages
            == ["sending with nested-cells-high-snr", "sending with nested-cells"]
            + ["sending with nested-cells-high-snr"] * expected[-1]
        )
        now_s = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now_s + MAX_AGE_S + 1)
        assert adapt(adaptation, reports, transmitter).model is blind

    def test_adapted_only_while_the_receiver_decodes_the_codebook(
        self, models: ModelSet, transmitter: Transmitter, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A receiver without the codebook receives the codec for any receiver, and the log names the fix once."""
        nested, adapted, reports = transmitter.plan.model, adapted_of(models), Reports()
        caplog.set_level("INFO")
        caplog.clear()
        adaptation = Adaptation(nested, RATE, [adapted], adapts_rate=False)
        assert adapt(adaptation, reports, transmitter).model is nested, "nothing is known of the receiver yet"
        chosen = []
        for codebooks in ((), (adapted.sha256,), ("0" * 64, adapted.sha256), ("0" * 64,), (adapted.sha256,)):
            reports.next = ReceiverReport(knowledge_base="0" * 64, codebooks=codebooks)
            adapt(adaptation, reports, transmitter)
            chosen.append(adapt(adaptation, reports, transmitter).model is adapted.model)
        assert chosen == [False, True, True, False, True]
        fix = "semlink kb export-codebook KB --out FILE"
        hint = adapted.sha256[:12]
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            (
                "WARNING",
                f"nested: the receiver does not decode the codebook {hint} (it decodes: none); export it again from the"
                f" receiver's knowledge base: {fix}",
            ),
            ("INFO", "sending with adapted"),
            ("INFO", "adapted: as configured"),
            (
                "WARNING",
                f"adapted: the receiver's knowledge base has a newer codebook than {hint}; export it again: {fix}",
            ),
            ("INFO", "sending with nested"),
            (
                "WARNING",
                f"nested: the receiver does not decode the codebook {hint} (it decodes: 000000000000); export it again"
                f" from the receiver's knowledge base: {fix}",
            ),
            ("INFO", "sending with adapted"),
            ("INFO", "adapted: as configured"),
        ]

    def test_index_before_adapted_before_the_codec_for_any_receiver(
        self, models: ModelSet, kb: KnowledgeBase, transmitter: Transmitter, caplog: pytest.LogCaptureFixture
    ) -> None:
        nested, index, adapted = (
            transmitter.plan.model,
            IndexCandidate(load_index_model(models, entries_of(kb, models))),
            adapted_of(models),
        )
        adaptation, reports = Adaptation(nested, RATE, [index, adapted], adapts_rate=False), Reports()
        chosen = []
        for knowledge_base, codebooks in (
            (kb.fingerprint.hex(), (adapted.sha256,)),
            (kb.fingerprint.hex(), ()),
            ("0" * 64, (adapted.sha256,)),
            ("0" * 64, ()),
        ):
            reports.next = ReceiverReport(knowledge_base=knowledge_base, codebooks=codebooks)
            chosen.append(adapt(adaptation, reports, transmitter).model)
        assert chosen == [index.model, index.model, adapted.model, nested]
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(warnings) == 2
        assert "adapted: the entry codebook is not of the receiver's knowledge base" in warnings[0]
        assert "nested: the receiver does not decode the codebook" in warnings[1]

    def test_adapted_follows_the_snr(self, models: ModelSet, transmitter: Transmitter) -> None:
        adapted, reports = adapted_of(models), Reports()
        adaptation = Adaptation(transmitter.plan.model, parse_rate("256"), [adapted], adapts_rate=True)
        plans = []
        for snr_db in (-7.0, 0.0, 20.0):
            stream = {f"{transmitter.stream_id:016x}": snr_db}
            reports.next = ReceiverReport(knowledge_base="0" * 64, snr_db=stream, codebooks=(adapted.sha256,))
            plan = adapt(adaptation, reports, transmitter)
            plans.append((plan.model.codec, plan.rate.num_symbols))
        assert plans == [("adapted-high-snr", 256), ("adapted-high-snr", 64), ("adapted", 8)]

    def test_adapted_ends_when_reports_do(
        self, models: ModelSet, transmitter: Transmitter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        adapted, reports = adapted_of(models), Reports()
        adaptation = Adaptation(transmitter.plan.model, RATE, [adapted], adapts_rate=False)
        reports.next = ReceiverReport(knowledge_base="0" * 64, codebooks=(adapted.sha256,))
        assert adapt(adaptation, reports, transmitter).model is adapted.model
        now_s = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now_s + MAX_AGE_S + 1)
        assert adapt(adaptation, reports, transmitter).model is transmitter.plan.model

    def test_index_ends_when_reports_do(
        self,
        models: ModelSet,
        kb: KnowledgeBase,
        transmitter: Transmitter,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        nested, reports = transmitter.plan.model, Reports()
        index = IndexCandidate(load_index_model(models, entries_of(kb, models)))
        adaptation = Adaptation(nested, RATE, [index], adapts_rate=False)
        reports.next = ReceiverReport(knowledge_base=kb.fingerprint.hex())
        assert adapt(adaptation, reports, transmitter).model is not nested
        now_s = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now_s + MAX_AGE_S + 1)
        assert adapt(adaptation, reports, transmitter).model is nested
        adapt(adaptation, reports, transmitter)
        assert caplog.text.count("no report arrived for 10 s") == 1
        assert adaptation.has_warned
        reports.next = ReceiverReport(knowledge_base=kb.fingerprint.hex())
        adapt(adaptation, reports, transmitter)
        assert not adaptation.has_warned
        monkeypatch.setattr(time, "monotonic", lambda: now_s + 2 * MAX_AGE_S + 2)
        adapt(adaptation, reports, transmitter)
        assert caplog.text.count("no report arrived for 10 s") == 2, "they came and stopped again"

    def test_receiver_reports_its_estimates(
        self, models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage]
    ) -> None:
        receiver = Receiver(Decoders.of(models, kb), kb)
        answers(load_transmitter_model(models, RATE, codec="nested"), RATE, receiver, pictures)
        with ReportPublisher("tcp://127.0.0.1:*") as publisher, ReportSubscriber(publisher.endpoint) as subscriber:
            reports: list[ReceiverReport] = []

            def report_arrives() -> bool:
                Reporter(publisher).report(receiver)  # a new one each time: none is held back as too early
                newest = subscriber.newest()
                reports.extend([newest] if newest else [])
                return newest is not None

            wait_until(report_arrives)
        (report,) = reports
        assert report.knowledge_base == kb.fingerprint.hex()
        (snr_db,) = report.snr_db.values()
        assert 10.0 < snr_db <= 30.0
