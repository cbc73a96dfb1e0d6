"""An evaluation continues after an interrupt, and measures nothing twice."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs semlink[train]")
pytest.importorskip("sklearn", reason="needs semlink[train]")
pytest.importorskip("faiss", reason="needs semlink[cpu]")

from rich.console import Console
from rich.progress import Progress

from engines.models.model_set import ModelSet
from semlink.channel import ChannelOutput, CustomChannel
from semlink.iq import Symbols
from trainer.codecs.spec import CodecSpec
from trainer.evaluation import EvaluationReport, measure
from trainer.evaluation.record import Record

Evaluated = Callable[..., EvaluationReport]


def test_interrupted_evaluation_continues_with_identical_results(
    evaluated: Evaluated, model_set: ModelSet, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"codecs": ["nested", "index"], "num_seeds": 2, "model_set": str(model_set.folder)}
    whole = evaluated(**settings)
    journals = own_cache / "evaluations"
    assert list(journals.iterdir()) == [], "a finished evaluation leaves no journal"
    num_measured = 0
    measure_cell = measure.measure_cell

    def measure_some(*arguments: Any, **options: Any) -> Record:
        nonlocal num_measured
        if num_measured == 3:
            raise KeyboardInterrupt
        num_measured += 1
        return measure_cell(*arguments, **options)

    monkeypatch.setattr(measure, "measure_cell", measure_some)
    with pytest.raises(KeyboardInterrupt):
        evaluated(**settings)
    (journal,) = journals.iterdir()
    with journal.open("ab") as file:
        file.write(b'{"codec":"nes')  # as if the process was killed while it wrote a line
    num_measured = -100
    resumed = evaluated(**settings)
    assert num_measured == -100 + len(whole.records) - 3
    assert resumed.records == whole.records
    assert list(journals.iterdir()) == []


def interrupt(report: EvaluationReport) -> None:
    raise KeyboardInterrupt


def messages_of(evaluated: Evaluated, **settings: Any) -> str:
    stream = io.StringIO()
    evaluated(progress=Progress(console=Console(file=stream, width=200), disable=True), **settings)
    return stream.getvalue()


def test_changed_training_images_are_measured_again(
    evaluated: Evaluated, model_set: ModelSet, pictures_to_learn: Path, own_cache: Path, tmp_path: Path
) -> None:
    """The same command after an interrupt, on a folder with other training images: no record is reused."""
    folder = Path(shutil.copytree(pictures_to_learn, tmp_path / "pictures"))
    settings = {"codecs": ["nested"], "data": str(folder), "model_set": str(model_set.folder)}
    with pytest.raises(KeyboardInterrupt):
        evaluated(deliver=interrupt, **settings)
    (journal,) = (own_cache / "evaluations").iterdir()
    assert len(journal.read_bytes().splitlines()) == 2
    kept = journal.read_bytes()
    assert "continuing" in messages_of(evaluated, **settings)
    journal.write_bytes(kept)
    next((folder / "train").rglob("*.png")).unlink()
    assert "continuing" not in messages_of(evaluated, **settings)


def test_interrupted_evaluation_of_a_channel_of_your_own_continues(
    evaluated: Evaluated, model_set: ModelSet, own_cache: Path
) -> None:
    """The channel is another object each time, as it is in another process."""

    def settings() -> dict[str, Any]:
        channel = CustomChannel("mine", lambda *arguments: half(*arguments))
        return {"codecs": ["index"], "channels": [channel], "model_set": str(model_set.folder)}

    with pytest.raises(KeyboardInterrupt):
        evaluated(deliver=interrupt, **settings())
    assert "continuing" in messages_of(evaluated, **settings())


def half(symbols: Symbols, snr_db: float, rng: np.random.Generator) -> ChannelOutput:
    """Receive every symbol at half of its amplitude."""
    return ChannelOutput(symbols / 2, np.full((len(symbols), 1), 0.5, np.complex64), 0.0)


def test_changed_fit_of_your_own_codec_is_measured_again(
    evaluated: Evaluated, model_set: ModelSet, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key is the same, but the file of its fit is not."""
    source = (
        "from trainer.codecs.spec import FittedModel\n"
        "def fit(keys, context):\n"
        "    return dict.fromkeys(keys, FittedModel(None, trained_on='nothing', key='theirs'))\n"
    )
    (tmp_path / "their_fit.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    spec = CodecSpec(name="theirs", summary="", links="trainer.links.signal_link:index_links", fit="their_fit:fit")
    settings = {"codecs": [spec], "model_set": str(model_set.folder)}
    for text, is_continued in ((source, True), (f"{source}# changed\n", False)):
        with pytest.raises(KeyboardInterrupt):
            evaluated(deliver=interrupt, **settings)
        (tmp_path / "their_fit.py").write_text(text)
        assert ("continuing" in messages_of(evaluated, **settings)) is is_continued


def test_report_that_cannot_be_stored_costs_no_measurement(
    evaluated: Evaluated, model_set: ModelSet, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"codecs": ["index"], "model_set": str(model_set.folder)}
    with pytest.raises(KeyboardInterrupt):
        evaluated(deliver=interrupt, **settings)
    monkeypatch.setattr(measure, "measure_cell", lambda *_, **__: pytest.fail("measured again"))
    assert len(evaluated(**settings).records) == 2
