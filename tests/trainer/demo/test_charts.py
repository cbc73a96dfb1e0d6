"""Charts are elements of the page: text as text, no fixed size, no colour of their own for text."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest

pytest.importorskip("matplotlib", reason="needs semlink[demo]")

from trainer.demo.charts import accuracy_chart, latency_chart
from trainer.demo.config import LinkSettings
from trainer.demo.report import DatasetRun

SVG = "{http://www.w3.org/2000/svg}"


def texts(chart: str) -> set[str]:
    return {(element.text or "").strip() for element in ElementTree.fromstring(chart).iter(f"{SVG}text")}


def test_accuracy_has_a_curve_for_each_codec(
    dataset_run: Callable[..., DatasetRun], settings: Callable[..., LinkSettings]
) -> None:
    run = dataset_run("<digits>", [settings(), settings(snr_db=10.0), settings(codec="kbsc")])
    chart = accuracy_chart(run.report)
    assert {
        "<digits>",
        "nested, 64 symbols for each image",
        "kbsc, 64 symbols for each image",
        "noiseless (no codec, no channel)",
    } <= texts(chart)
    assert "&lt;digits&gt;: semantic accuracy against SNR" in chart


@pytest.mark.parametrize("latency_ms", [[1.0, 2.0, 3.0], []])
def test_a_chart_takes_size_and_colour_of_text_from_the_page(latency_ms: list[float]) -> None:
    chart = latency_chart(latency_ms)
    (svg,) = ElementTree.fromstring(chart).iter(f"{SVG}svg")
    assert "viewBox" in svg.attrib
    assert {"width", "height"}.isdisjoint(svg.attrib)
    assert "currentColor" in chart
    assert "#010203" not in chart
    assert "latency [ms]" in texts(chart)
