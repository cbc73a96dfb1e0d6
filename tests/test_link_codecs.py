"""Both ends with every kind of codec: what is sent is found, and a transmitter whose keys are stale falls back."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from PIL import Image

from edge_rx.decoders.map_detector import MapDetector
from edge_rx.decoders.options import DecoderOptions
from edge_rx.decoders.registry import Decoders
from edge_rx.decoders.templates import SignalTemplates
from edge_rx.kb import KnowledgeBase
from edge_rx.kb.build import build_knowledge_base, labelled_folder
from edge_rx.kb.index import FlatIndex
from edge_rx.kb.project import project_knowledge_base
from edge_rx.match import Match
from edge_rx.noise import NoiseEstimator
from edge_rx.pipeline import Receiver
from edge_rx.reporter import Reporter
from edge_tx.adaptation import MAX_AGE_S, Adaptation
from edge_tx.model import TransmitterModel, load_index_model, load_transmitter_model
from edge_tx.pipeline import Transmitter
from engines.models.entry_codebook import EntryCodebook
from engines.models.image_encoder import ImageEncoder
from engines.models.model_set import ModelSet
from engines.models.projection_head import save_proxies
from semlink.channel import ChannelModel
from semlink.channel_process import SoftwareChannel
from semlink.errors import ConfigError, KnowledgeBaseError, ModelSetError
from semlink.files import file_sha256
from semlink.image import LoadedImage, RGBImage, preprocess
from semlink.iq import normalize_power, pair_latent, quantize
from semlink.rates import RATES, Rate, parse_rate
from semlink.receiver_report import ReceiverReport
from semlink.transport import ReportPublisher, ReportSubscriber
from tests.support.deadlines import DEADLINE_S
from tests.support.model_sets import make_model_set

CATEGORIES = ("apple", "boat", "cat")
RATE = parse_rate("64")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    return make_model_set(tmp_path_factory.mktemp("models") / "all", nested=True, categories=CATEGORIES)


@pytest.fixture(scope="module")
def kb_folder(models: ModelSet, picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kb") / "KB"
    build_knowledge_base(labelled_folder(picture_folder), folder, ImageEncoder(models), codecs=models.codecs)
    return folder


@pytest.fixture
def kb(kb_folder: Path) -> Iterator[KnowledgeBase]:
    with KnowledgeBase.open(kb_folder) as knowledge_base:
        yield knowledge_base


def keys_of(kb: KnowledgeBase, models: ModelSet, codec: str | None = None) -> EntryCodebook:
    if codec is None:
        return EntryCodebook.of(kb.features(), kb.fingerprint, space=models.encoder_fingerprint)
    space = models.codec(codec).projection_fingerprint
    return EntryCodebook.of(kb.projected(space), kb.fingerprint, space=space)


def model_of(codec: str, rate: Rate, kb: KnowledgeBase, models: ModelSet) -> TransmitterModel:
    if codec == "index":
        return load_index_model(models, keys_of(kb, models))
    if codec == "index-labels":
        return load_index_model(models, keys_of(kb, models, "nested-labels"))
    return load_transmitter_model(models, rate, codec=codec)


def answers(
    model: TransmitterModel, rate: Rate, receiver: Receiver, pictures: dict[str, RGBImage], *, num_pilots: int = 0
) -> list[Match | None]:
    """Send every picture over a quiet channel; what the receiver makes of each."""
    matches: list[Match | None] = []
    rng = np.random.default_rng(0)
    channel = SoftwareChannel(
        ChannelModel.RAYLEIGH if num_pilots else ChannelModel.AWGN,
        snr_db=30.0,
        rng=rng,
        send=lambda data: matches.append(receiver.run_once(data)),
    )
    transmitter = Transmitter(model, rate, channel.run_once, num_pilots=num_pilots)
    for picture in pictures.values():
        transmitter.run_once(LoadedImage(picture, *picture.shape[:2]))
    return matches


def adapt(adaptation: Adaptation, reports: Reports, transmitter: Transmitter) -> None:
    """Plan the next image as a session does."""
    expects_fades = transmitter.num_pilots > 0
    transmitter.plan = adaptation.plan(reports, stream_id=transmitter.stream_id, expects_fades=expects_fades)


def nearest_keys(models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage]) -> list[str]:
    """What is found without any channel: an entry's key is drawn to its label, an image's is not."""
    codec = models.codec("nested-labels")
    images = codec.load_keys().project_images(ImageEncoder(models).encode(list(pictures.values())))
    entries = (images @ kb.projected(codec.projection_fingerprint).T).argmax(axis=1)
    return [kb.record(int(entry)).source for entry in entries]


@pytest.mark.parametrize("codec", ["synthetic-codec", "nested", "nested-labels", "index", "index-labels"])
@pytest.mark.parametrize("num_pilots", [0, 8])
def test_every_codec_finds_what_was_sent(
    codec: str, num_pilots: int, models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage]
) -> None:
    receiver = Receiver(Decoders.of(models, kb), kb)
    matches = answers(model_of(codec, RATE, kb, models), RATE, receiver, pictures, num_pilots=num_pilots)
    assert not receiver.rejected
    found = [match.source for match in matches if match is not None]
    expected = nearest_keys(models, kb, pictures) if "labels" in codec else list(pictures)
    assert found == expected
    assert all(match is not None and 0.5 < match.score <= 1.001 for match in matches)


@pytest.fixture(scope="module")
def familiar(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    """A set whose `nested` sends codewords, so that its two ways to share the power are two codes."""
    folder = tmp_path_factory.mktemp("models") / "familiar"
    return make_model_set(folder, nested=True, sends_codeword=True, categories=CATEGORIES)


@pytest.fixture
def familiar_kb(familiar: ModelSet, picture_folder: Path, tmp_path: Path) -> Iterator[KnowledgeBase]:
    encoder = ImageEncoder(familiar)
    build_knowledge_base(labelled_folder(picture_folder), tmp_path / "KB", encoder, codecs=familiar.codecs)
    with KnowledgeBase.open(tmp_path / "KB") as knowledge_base:
        yield knowledge_base


def test_each_code_is_heard_by_its_own_keys(
    familiar: ModelSet, familiar_kb: KnowledgeBase, pictures: dict[str, RGBImage]
) -> None:
    codec, features = familiar.codec("nested"), ImageEncoder(familiar).encode(list(pictures.values()))
    decoders = Decoders.of(familiar, familiar_kb, DecoderOptions(with_high_snr_code=True))
    codes = {False: codec.codebook, True: codec.codebook.for_high_snr()}
    searches = {
        is_high_snr: MapDetector(SignalTemplates.of(code, familiar_kb.features()), RATE)
        for is_high_snr, code in codes.items()
    }
    others: list[bool] = []
    for is_high_snr, code in codes.items():
        decoder = decoders.decoder(codec.fingerprint(RATE, is_high_snr=is_high_snr))
        assert decoder.codec == ("nested-high-snr" if is_high_snr else "nested")
        for latent in code.latent(features)[:, : RATE.latent_dim]:
            received = normalize_power(pair_latent(latent))
            query = decoder.decode(decoder.equalize(received, num_pilots=0, noise=NoiseEstimator()))
            assert decoder.search(query) == searches[is_high_snr].match(query)
            others += [decoder.search(query) != searches[not is_high_snr].match(query)]
    assert np.mean(others) > 0.5


def test_what_is_not_served_says_why_for_both_codes(
    familiar: ModelSet, familiar_kb: KnowledgeBase, pictures: dict[str, RGBImage], caplog: pytest.LogCaptureFixture
) -> None:
    model = load_transmitter_model(familiar, RATE, codec="nested")
    assert model.for_high_snr is not None
    silent = Receiver(Decoders.of(familiar, familiar_kb), familiar_kb)
    assert answers(model.for_high_snr, RATE, silent, pictures) == [None] * len(pictures)
    assert dict(silent.rejected) == {"codec not served": len(pictures)}
    assert "start it with --feedback" in caplog.text
    caplog.clear()
    narrow = Receiver(
        Decoders.of(familiar, familiar_kb, DecoderOptions(rates=[parse_rate("16")], with_high_snr_code=True)),
        familiar_kb,
    )
    for each in (model, model.for_high_snr):
        answers(each, RATE, narrow, pictures)
    assert dict(narrow.rejected) == {"codec not served": 2 * len(pictures)}
    assert "serves other rates" in caplog.text
    assert load_transmitter_model(familiar, RATE, codec="nested-labels").for_high_snr is None


def test_one_graph_gives_both_codes_at_every_rate(familiar: ModelSet, pictures: dict[str, RGBImage]) -> None:
    picture = next(iter(pictures.values()))
    model, codebook = load_transmitter_model(familiar, RATE, codec="nested"), familiar.codec("nested").codebook
    assert model.for_high_snr is not None
    tensor, features = preprocess(picture, model.preprocessing), ImageEncoder(familiar).encode([picture])
    given = {}
    for each, code in ((model, codebook), (model.for_high_snr, codebook.for_high_snr())):
        for rate in RATES:
            expected = quantize(normalize_power(pair_latent(code.latent(features)[:, : rate.latent_dim])))
            given[each.codec, rate] = each.codes(tensor, rate)
            # Rounding may fall either way.
            assert np.abs(given[each.codec, rate] - expected[0].astype(int)).max() <= 1
    for rate in RATES:
        assert np.abs(given["nested", rate].astype(int) - given["nested-high-snr", rate]).max() > 1


@pytest.mark.parametrize("rate", RATES[2:], ids=lambda rate: str(rate.num_symbols))
def test_one_engine_serves_every_rate(
    rate: Rate, models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage]
) -> None:
    receiver = Receiver(Decoders.of(models, kb), kb)
    model = load_transmitter_model(models, parse_rate("4"), codec="nested")
    matches = answers(model, rate, receiver, pictures)
    assert {match.codec for match in matches if match} == {"nested"}
    assert [match and match.num_symbols for match in matches] == [rate.num_symbols] * len(pictures)
    assert [match and match.source for match in matches] == list(pictures)


def test_a_rate_that_is_not_served_is_refused_by_name(
    models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage], caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(Decoders.of(models, kb, DecoderOptions(rates=[parse_rate("16")])), kb)
    for codec in ("nested", "index"):
        assert answers(model_of(codec, RATE, kb, models), RATE, receiver, pictures) == [None] * 12
    assert receiver.rejected == {"codec not served": 24}
    assert "this receiver serves other rates" in caplog.text


def test_score_falls_where_the_knowledge_base_has_nothing_alike(
    models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage]
) -> None:
    rng = np.random.default_rng(7)
    strangers = {str(i): rng.integers(0, 256, (10, 12, 3), dtype=np.uint8) for i in range(12)}
    model = load_transmitter_model(models, RATE, codec="nested")
    known, unknown = (
        [match.score for match in answers(model, RATE, Receiver(Decoders.of(models, kb), kb), images) if match]
        for images in (pictures, strangers)
    )
    assert np.mean(known) > np.mean(unknown) + 0.1


class TestKeys:
    def test_one_pilot_is_a_rejected_frame(
        self, models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage]
    ) -> None:
        """Of a transmitter that does not know better; ours refuses."""
        receiver = Receiver(Decoders.of(models, kb), kb)
        model = load_transmitter_model(models, RATE, codec="nested")
        with pytest.raises(ConfigError, match="send none, or at least 2"):
            Transmitter(model, RATE, lambda data: None, num_pilots=1)
        careless = dataclasses.replace(model, weighs_noise=False)
        assert answers(careless, RATE, receiver, pictures, num_pilots=1) == [None] * 12
        assert receiver.rejected == {"one pilot cannot tell gain and noise apart": 12}

    def test_codec_without_keys_in_the_knowledge_base_is_not_served(
        self, models: ModelSet, kb_folder: Path, tmp_path: Path, pictures: dict[str, RGBImage]
    ) -> None:
        """Until the knowledge base is given them; nothing else of it changes."""
        folder = Path(shutil.copytree(kb_folder, tmp_path / "KB"))
        manifest = json.loads((folder / "manifest.json").read_text())
        for entry in manifest["keys"]:
            (folder / entry["file"]).unlink()
        (folder / "manifest.json").write_text(json.dumps({**manifest, "keys": []}))
        model = load_transmitter_model(models, RATE, codec="nested-labels")
        with KnowledgeBase.open(folder) as kb:
            receiver = Receiver(Decoders.of(models, kb), kb)
            assert answers(model, RATE, receiver, pictures) == [None] * 12
            assert receiver.rejected == {"codec not served": 12}
        images = sorted((folder / "images").rglob("*"))
        times = [path.stat().st_mtime_ns for path in images]
        assert project_knowledge_base(folder, models) == ["nested-labels"]
        assert [path.stat().st_mtime_ns for path in images] == times
        with KnowledgeBase.open(folder) as kb:
            assert kb.verify() == []
            assert None not in answers(model, RATE, Receiver(Decoders.of(models, kb), kb), pictures)

    def test_damaged_keys_are_found(self, kb_folder: Path, models: ModelSet, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(kb_folder, tmp_path / "KB"))
        (keys,) = folder.glob("keys-*.faiss")
        keys.write_bytes(keys.read_bytes()[:-10])
        with KnowledgeBase.open(folder) as kb:
            assert kb.verify() == [f"{keys.name}: sha256 is not the manifest's"]
            with pytest.raises(KnowledgeBaseError, match="damaged, or replaced"):
                kb.projected(models.codec("nested-labels").projection_fingerprint)

    def test_keys_of_another_knowledge_base_are_refused(
        self, kb_folder: Path, models: ModelSet, tmp_path: Path
    ) -> None:
        """Whole, and as many, but not those that the manifest describes."""
        folder = Path(shutil.copytree(kb_folder, tmp_path / "KB"))
        (path,) = folder.glob("keys-*.faiss")
        with KnowledgeBase.open(folder) as kb:
            foreign = FlatIndex(16)
            foreign.add(kb.features()[::-1])
            foreign.save(path)
            with pytest.raises(KnowledgeBaseError, match="replaced"):
                kb.projected(models.codec("nested-labels").projection_fingerprint)

    def test_new_keys_take_the_place_of_old_ones(self, kb_folder: Path, models: ModelSet, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(kb_folder, tmp_path / "KB"))
        other = Path(shutil.copytree(models.folder, tmp_path / "retrained"))
        proxies = other / "nested-labels.proxies.npz"
        proxies.write_bytes(save_proxies(CATEGORIES, np.eye(3, 16, dtype=np.float32)))
        manifest = json.loads((other / "manifest.json").read_text())
        manifest["codecs"][2]["keys"]["proxies"]["sha256"] = file_sha256(proxies)
        (other / "manifest.json").write_text(json.dumps(manifest))
        (before,) = folder.glob("keys-*.faiss")
        project_knowledge_base(folder, ModelSet(other))
        (after,) = folder.glob("keys-*.faiss")
        assert after != before
        with KnowledgeBase.open(folder) as kb:
            assert [entry.file for entry in kb.manifest.projected] == [after.name]
            assert kb.verify() == []

    def test_set_without_keys_has_nothing_to_rekey(self, model_set: ModelSet, kb_folder: Path) -> None:
        with pytest.raises(ModelSetError, match="has no codec with a projection head"):
            project_knowledge_base(kb_folder, model_set)

    def test_no_knowledge_base_to_rekey(self, models: ModelSet, tmp_path: Path) -> None:
        with pytest.raises(KnowledgeBaseError, match="not a knowledge base"):
            project_knowledge_base(tmp_path / "nowhere", models)

    def test_keys_of_another_encoder_are_refused(self, kb: KnowledgeBase, models: ModelSet) -> None:
        with pytest.raises(ModelSetError, match="exported for other models"):
            load_index_model(models, EntryCodebook.of(kb.features(), kb.fingerprint, space="f" * 64))

    def test_stale_keys_are_rejected_with_a_hint(
        self, models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage], caplog: pytest.LogCaptureFixture
    ) -> None:
        stale = EntryCodebook.of(kb.features()[::-1], bytes(32), space=models.encoder_fingerprint)
        receiver = Receiver(Decoders.of(models, kb), kb)
        assert answers(load_index_model(models, stale), RATE, receiver, pictures) == [None] * 12
        assert receiver.rejected == {"unknown models": 12}
        assert "semlink kb export-entries" in caplog.text


class Reports:
    """Reports that a test hands over."""

    def __init__(self) -> None:
        self.next: ReceiverReport | None = None

    def newest(self) -> ReceiverReport | None:
        report, self.next = self.next, None
        return report


class TestAdaptation:
    @pytest.fixture
    @staticmethod
    def transmitter(models: ModelSet) -> Transmitter:
        return Transmitter(load_transmitter_model(models, RATE, codec="nested"), RATE, lambda data: None)

    def test_index_only_while_the_receiver_has_the_knowledge_base(
        self, models: ModelSet, kb: KnowledgeBase, transmitter: Transmitter, caplog: pytest.LogCaptureFixture
    ) -> None:
        nested = transmitter.plan.model
        index, reports = load_index_model(models, keys_of(kb, models)), Reports()
        adaptation = Adaptation(nested, index, RATE, adapts_rate=False)
        adapt(adaptation, reports, transmitter)
        assert transmitter.plan.model is nested, "nothing is known of the receiver yet"
        reports.next = ReceiverReport(knowledge_base=kb.fingerprint.hex())
        adapt(adaptation, reports, transmitter)
        adapt(adaptation, reports, transmitter)
        assert transmitter.plan.model is index
        reports.next = ReceiverReport(knowledge_base="0" * 64)
        adapt(adaptation, reports, transmitter)
        assert transmitter.plan.model is nested
        assert caplog.text.count("export it again") == 1

    def test_keys_that_are_stale_from_the_start_are_told(
        self, models: ModelSet, kb: KnowledgeBase, transmitter: Transmitter, caplog: pytest.LogCaptureFixture
    ) -> None:
        """At the level that a user sees without --verbose."""
        reports = Reports()
        adaptation = Adaptation(
            transmitter.plan.model, load_index_model(models, keys_of(kb, models)), RATE, adapts_rate=False
        )
        adapt(adaptation, reports, transmitter)
        assert not adaptation.has_report
        reports.next = ReceiverReport(knowledge_base="0" * 64)
        adapt(adaptation, reports, transmitter)
        assert adaptation.has_report
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "not of the receiver's knowledge base" in caplog.text

    def test_rate_follows_the_reported_snr(
        self, transmitter: Transmitter, models: ModelSet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reports = Reports()
        adaptation = Adaptation(transmitter.plan.model, None, parse_rate("256"), adapts_rate=True)
        rates = []
        for snr_db in (None, -7.0, 0.0, 10.0):
            stream = {} if snr_db is None else {f"{transmitter.stream_id:016x}": snr_db}
            reports.next = ReceiverReport(knowledge_base="0" * 64, snr_db=stream)
            adapt(adaptation, reports, transmitter)
            rates.append(transmitter.plan.rate.num_symbols)
        assert rates == [256, 256, 64, 16]
        now_s = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now_s + MAX_AGE_S + 1)
        adapt(adaptation, reports, transmitter)
        assert transmitter.plan.rate.num_symbols == 256, "what was heard long ago says nothing"

    @pytest.mark.parametrize(
        ("num_pilots", "expected"),
        [(0, [False, False, True, True, False, True]), (8, [False, False, False, True, False, False])],
    )
    def test_power_is_shared_for_a_clear_channel_while_one_is_reported(
        self,
        models: ModelSet,
        num_pilots: int,
        expected: list[bool],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """With pilots, a mean SNR must leave room for fades."""
        caplog.set_level("INFO")
        blind, reports = load_transmitter_model(models, RATE, codec="nested"), Reports()
        transmitter = Transmitter(blind, RATE, lambda data: None, num_pilots=num_pilots)
        adaptation, chosen = Adaptation(blind, None, RATE, adapts_rate=False), []
        for snr_db in (None, -4.0, 4.0, 12.0, -4.0, 0.0):
            stream = {} if snr_db is None else {f"{transmitter.stream_id:016x}": snr_db}
            reports.next = ReceiverReport(knowledge_base="0" * 64, snr_db=stream)
            adapt(adaptation, reports, transmitter)
            chosen.append(transmitter.plan.model is blind.for_high_snr)
        assert chosen == expected
        told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("sending with")]
        assert (
            told
            == ["sending with nested-high-snr", "sending with nested"] + ["sending with nested-high-snr"] * expected[-1]
        )
        now_s = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now_s + MAX_AGE_S + 1)
        adapt(adaptation, reports, transmitter)
        assert transmitter.plan.model is blind

    def test_index_ends_when_reports_do(
        self,
        models: ModelSet,
        kb: KnowledgeBase,
        transmitter: Transmitter,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        nested, reports = transmitter.plan.model, Reports()
        adaptation = Adaptation(nested, load_index_model(models, keys_of(kb, models)), RATE, adapts_rate=False)
        reports.next = ReceiverReport(knowledge_base=kb.fingerprint.hex())
        adapt(adaptation, reports, transmitter)
        assert transmitter.plan.model is not nested
        now_s = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now_s + MAX_AGE_S + 1)
        adapt(adaptation, reports, transmitter)
        assert transmitter.plan.model is nested
        adapt(adaptation, reports, transmitter)
        assert caplog.text.count("no report arrived for 10 s") == 1

    def test_receiver_reports_what_it_hears(
        self, models: ModelSet, kb: KnowledgeBase, pictures: dict[str, RGBImage]
    ) -> None:
        receiver = Receiver(Decoders.of(models, kb), kb)
        answers(load_transmitter_model(models, RATE, codec="nested"), RATE, receiver, pictures)
        with ReportPublisher("tcp://127.0.0.1:*") as publisher, ReportSubscriber(publisher.endpoint) as subscriber:
            observation, end_s = None, time.monotonic() + 10.0
            while observation is None and time.monotonic() < end_s:
                Reporter(publisher).report(receiver)  # a new one each time: none is held back as too early
                time.sleep(0.01)
                observation = subscriber.newest()
        assert observation is not None
        assert observation.knowledge_base == kb.fingerprint.hex()
        (snr_db,) = observation.snr_db.values()
        assert 10.0 < snr_db <= 30.0


def semlink(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "semlink", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def done(*arguments: object) -> str:
    with semlink(*arguments) as process:
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    return output


def test_index_over_sockets_falls_back_when_the_knowledge_base_changes(
    models: ModelSet, picture_folder: Path, tmp_path: Path
) -> None:
    """Keys are exported, used, and refused by the transmitter itself after the knowledge base was built anew."""
    pictures = Path(shutil.copytree(picture_folder, tmp_path / "pictures"))
    folder, keys = tmp_path / "KB", tmp_path / "keys.npz"
    model_set = ("--model-set", models.folder)
    done("kb", "build", pictures, "--out", folder, *model_set)
    exported = json.loads(done("kb", "export-entries", folder, "--out", keys, *model_set, "--json"))
    assert exported["num_entries"] == 12
    blind = ("--codec", "synthetic-codec", "--rate", RATE.num_symbols, "--pilots", 1)
    with semlink("tx", pictures, *model_set, *blind, "--entries", keys, "--feedback", "tcp://127.0.0.1:1") as process:
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, "with index send none" in errors) == (2, True), "said now, not in the midst of a stream"
    for expected in ("index", "nested"):
        results = tmp_path / f"results-{expected}"
        listening = ("--listen", "tcp://127.0.0.1:*", "--feedback", "tcp://127.0.0.1:*", "--results", results)
        with semlink("rx", "--kb", folder, *model_set, *listening, "--until-end", "--json") as rx:
            assert rx.stderr is not None
            words = rx.stderr.readline().split()
            endpoints = [word.strip(",;") for word in words if word.startswith("tcp://")]
            where = ("--connect", endpoints[0], "--feedback", endpoints[1])
            sent = json.loads(
                done("tx", pictures, *model_set, "--codec", "nested", "--entries", keys, *where, "--json")
            )
            output, errors = rx.communicate(timeout=DEADLINE_S)
        assert rx.returncode == 0, errors
        assert json.loads(output)["frames_rejected"] == {}
        assert set(sent["sent_by_codec"]) == {expected}, "the first image waits for a report"
        Image.new("RGB", (9, 9), (9, 200, 30)).save(pictures / "apple" / "new.png")
        done("kb", "build", pictures, "--out", folder, *model_set, "--force")


def test_power_by_reports_over_sockets(
    familiar: ModelSet, familiar_kb: KnowledgeBase, picture_folder: Path, tmp_path: Path
) -> None:
    """The first image goes out blind; once the receiver has told that nothing is lost, the others do not."""
    listening = ("--listen", "tcp://127.0.0.1:*", "--feedback", "tcp://127.0.0.1:*", "--results", tmp_path / "results")
    model_set = ("--model-set", familiar.folder)
    with semlink("rx", "--kb", tmp_path / "KB", *model_set, *listening, "--until-end", "--json") as rx:
        assert rx.stderr is not None
        endpoints = [word.strip(",;") for word in rx.stderr.readline().split() if word.startswith("tcp://")]
        where = ("--connect", endpoints[0], "--feedback", endpoints[1])
        sent = json.loads(done("tx", picture_folder, *model_set, "--codec", "nested", *where, "--fps", 8, "--json"))
        output, errors = rx.communicate(timeout=DEADLINE_S)
    assert rx.returncode == 0, errors
    assert json.loads(output)["frames_rejected"] == {}
    assert json.loads(output)["matches"] == 12
    assert sent["sent_by_codec"]["nested"] >= 1
    assert sent["sent_by_codec"]["nested-high-snr"] >= 3
    lines = (tmp_path / "results" / "results.jsonl").read_text().splitlines()
    assert {json.loads(line)["codec"] for line in lines} == {"nested", "nested-high-snr"}


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--rate", "auto"), "name their address with --feedback", 2),
        (("--codec", "vq"), "has no codec vq; it has:", 2),
        (("--codec", "nested", "--entries", "nowhere.npz"), "is what to fall back to", 2),
        (("--codec", "nested", "--pilots", "1"), "send none, or at least 2", 2),
        (("--rate", "auto", "--feedback", "tcp://127.0.0.1:1"), "needs one code for all rates", 2),
        (("--entries", "nowhere.npz"), "nowhere.npz: No such file", 5),
        (("--feedback", "udp://x"), "endpoint must start with tcp://", 2),
    ],
)
def test_what_a_transmitter_cannot_do_is_one_line(
    models: ModelSet, picture_folder: Path, arguments: tuple[str, ...], words: str, code: int
) -> None:
    with semlink("tx", picture_folder, "--model-set", models.folder, *arguments) as process:
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code
    assert words in errors
    assert len(errors.strip().splitlines()) == 1
