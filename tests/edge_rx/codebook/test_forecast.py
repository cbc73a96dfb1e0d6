"""What a knowledge base is forecast to answer, beside what it answers."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("faiss", reason="needs semlink[cpu]")

from edge_rx.codebook.forecast import CODES, ForecastConfig, ForecastReport, forecast
from edge_rx.codebook.forecast_view import plot_forecast, print_forecast
from edge_rx.codebook.make import make_codebook
from edge_rx.codebook.simulate import HeldOut, SimulatedCode, simulate
from engines.models.codebook import Codebook
from semlink.errors import ConfigError, KnowledgeBaseError
from semlink.rates import parse_rate
from tests.support.model_sets import make_codebook as make_nested
from tests.support.retrieval import clustered

RATE = parse_rate("16")
SNR_DB = (-10.0, 10.0)
CONFIG = ForecastConfig(rates=[RATE], snr_db=SNR_DB, codes=["adapted", "index"])
KINDS = {"num_classes": 10, "spread": 0.9}


def labels_of(numbers: np.ndarray) -> list[str]:
    return [f"label {number}" for number in numbers]


@pytest.fixture(scope="module")
def report() -> ForecastReport:
    features, numbers = clustered(500, seed=1, **KINDS)
    cells = make_nested(features.shape[1], np.random.default_rng(0))
    nested = Codebook.without_cells(cells.mean, cells.projection, analog_scale=cells.analog_scale)
    codebooks = {"nested": nested, "nested-cells": cells, "of a package": cells}
    return forecast(features, labels_of(numbers), config_with(codes=CODES), nested=codebooks)


def config_with(**changes: object) -> ForecastConfig:
    """The configuration with other values."""
    values = {"rates": [RATE], "snr_db": SNR_DB, "codes": CONFIG.codes, **changes}
    return ForecastConfig(**values)


def test_forecast_is_what_images_of_the_same_source_get(report: ForecastReport) -> None:
    features, numbers = clustered(500, seed=1, **KINDS)
    images, image_numbers = clustered(1000, seed=2, **KINDS)
    labels = labels_of(numbers)
    codebook = make_codebook(features, labels, knowledge_base=bytes(32), space="0" * 64)
    code = SimulatedCode.adapted(codebook, features, labels)
    measured = simulate(code, HeldOut(images, labels_of(image_numbers), features, labels), RATE, SNR_DB)
    expected = [cell.accuracy or 0.0 for cell in report.cells if cell.codec == "adapted"]
    assert report.num_sent == 500
    np.testing.assert_allclose(expected, [found.accuracy for found in measured], atol=0.06)
    assert expected[0] < expected[1]


def test_every_cell_of_the_grid_has_its_figures(report: ForecastReport) -> None:
    assert [(cell.codec, cell.snr_db) for cell in report.cells] == [
        (codec, snr_db) for codec in ("adapted", "index", "nested", "nested-cells") for snr_db in SNR_DB
    ]
    index = next(cell for cell in report.cells if (cell.codec, cell.snr_db) == ("index", 10.0))
    # An entry of the label that the transmitter decides, which is not always that of the nearest one.
    assert index.recall > 0.85
    assert index.accuracy is not None
    assert report.noiseless_accuracy is not None
    assert index.accuracy > report.noiseless_accuracy
    assert index.answer_cosine == pytest.approx(report.noiseless_cosine, abs=0.02)
    assert index.accuracy_half_width is not None
    assert 0.0 < index.accuracy_half_width < 0.05
    assert msgspec.json.decode(msgspec.json.encode(report), type=ForecastReport) == report


def test_knowledge_base_without_labels_is_forecast_by_its_entries(tmp_path: Path) -> None:
    features, _ = clustered(300, seed=1, **KINDS)
    report = forecast(features, [""] * 300, CONFIG)
    assert report.noiseless_accuracy is None
    assert all(cell.accuracy is None and 0.0 <= cell.recall <= 1.0 for cell in report.cells)
    console = Console(record=True, width=200)
    print_forecast(report, console)
    assert "share of the nearest entry" in console.export_text()


def test_all_codes_are_those_that_the_model_set_has() -> None:
    """A set that was trained with one codec is forecast without options."""
    features, numbers = clustered(60, seed=1, **KINDS)
    nested = {
        "nested": Codebook.without_cells(np.zeros(16, np.float32), np.eye(16, dtype=np.float32), analog_scale=4.0)
    }
    assert features.shape[1] == 16
    report = forecast(features, labels_of(numbers), config_with(codes=CODES, limit=20), nested=nested)
    assert {cell.codec for cell in report.cells} == {"adapted", "index", "nested"}


def test_table_and_plot_show_every_curve(report: ForecastReport, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs semlink[train]")
    console = Console(record=True, width=200)
    print_forecast(report, console)
    text = console.export_text()
    assert all(word in text for word in ("adapted", "index", "nested", "nested-cells", "-10 dB", "95 % interval"))
    plot_forecast(report, tmp_path / "forecast.png")
    assert (tmp_path / "forecast.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_forecast_is_refused() -> None:
    features, numbers = clustered(20, seed=1, **KINDS)
    with pytest.raises(KnowledgeBaseError, match="at least 10 of them; there are 9"):
        forecast(features[:9], labels_of(numbers[:9]), CONFIG)
    with pytest.raises(ConfigError, match="no codec nested-cells of features"):
        forecast(features, labels_of(numbers), config_with(codes=["index", "nested-cells"]))
    with pytest.raises(ConfigError, match="adapted, index, nested, nested-cells; got kbsc"):
        config_with(codes=["kbsc"])
    with pytest.raises(ConfigError, match="at least one rate"):
        config_with(rates=[])
