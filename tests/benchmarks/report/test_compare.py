"""Comparisons say no more than the noise allows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.compare import MIN_SAMPLES, Verdict, compare, judge
from semlink.errors import ConfigError
from semlink.machine import GpuState, MachineState
from semlink.report import Report
from tests.support.bench_reports import latency_report, stage

Changes = dict[str, Any]


class TestJudge:
    @given(st.floats(1e-4, 1e4), st.floats(0, 1e3), st.integers(MIN_SAMPLES, 10**6))
    def test_the_same_run_has_no_change(self, p50: float, spread: float, num_samples: int) -> None:
        same = stage(p50, p50 + spread, num_samples)
        assert judge(same, same) is Verdict.NO_CHANGE
        assert judge(same, same, least_change=0.0) is Verdict.NO_CHANGE

    @given(st.floats(1e-4, 1e4), st.floats(1.2, 100), st.floats(0, 0.01))
    def test_a_change_without_noise_is_found_both_ways(self, p50: float, ratio: float, spread: float) -> None:
        older, newer = stage(p50, p50 * (1 + spread)), stage(p50 * ratio, p50 * ratio * (1 + spread))
        assert judge(newer, older) is Verdict.SLOWER
        assert judge(older, newer) is Verdict.FASTER

    @given(st.floats(1e-4, 1e4), st.floats(1.0, 100))
    def test_a_change_within_the_noise_is_none(self, p50: float, ratio: float) -> None:
        older, newer = stage(p50, p50 * ratio), stage(p50 * ratio, p50 * ratio * 1.01)
        assert judge(newer, older) is Verdict.NO_CHANGE
        assert judge(older, newer) is Verdict.NO_CHANGE

    def test_a_small_change_counts_only_if_asked_for(self) -> None:
        older, newer = stage(1.0, 1.01), stage(1.08, 1.09)
        assert judge(newer, older) is Verdict.NO_CHANGE
        assert judge(newer, older, least_change=0.02) is Verdict.SLOWER

    def test_no_verdict_of_too_few_samples_or_none(self) -> None:
        assert judge(stage(2.0, 2.0, MIN_SAMPLES - 1), stage(1.0, 1.0)) is Verdict.TOO_FEW_SAMPLES
        assert judge(stage(2.0, None), stage(1.0, 1.0)) is Verdict.TOO_FEW_SAMPLES
        assert judge(stage(None, None, 0), stage(1.0, 1.0)) is Verdict.NOT_TIMED
        assert judge(stage(1.0, 1.0), stage(0.0, 0.0)) is Verdict.NOT_TIMED


class TestCompare:
    def test_a_report_with_itself(self) -> None:
        result = compare(latency_report(), latency_report())
        assert (result.obstacles, result.differing_settings) == ([], [])
        assert {change.verdict for change in result.changes} == {Verdict.NO_CHANGE}

    def test_stages_are_matched_by_name(self) -> None:
        older = latency_report(stages=[stage(1.0, 1.01, name="engine"), stage(2.0, 2.1, name="gone")])
        newer = latency_report(stages=[stage(2.0, 2.1, name="new"), stage(2.0, 2.01, name="engine")])
        result = compare(newer, older)
        (change,) = result.changes
        assert (change.name, change.older_p50_ms, change.newer_p50_ms) == ("engine", 1.0, 2.0)
        assert (change.change, change.verdict) == (1.0, Verdict.SLOWER)
        assert (result.only_older, result.only_newer) == (["gone"], ["new"])

    @pytest.mark.parametrize(
        ("older", "newer", "obstacle"),
        [
            ({"device": "another board"}, {}, "device: another board before, a board, 8 cores now"),
            ({"versions": {"python": "3.10.9", "semlink": "0.1.0"}}, {}, "python: 3.10.9 before, 3.10.12 now"),
            (
                {"machine_state": MachineState(power_mode="15W")},
                {"machine_state": MachineState(power_mode="MAXN")},
                "power mode: 15W before, MAXN now",
            ),
            (
                {"machine_state": MachineState(cpu_governor="powersave")},
                {"machine_state": MachineState()},
                "CPU governor: powersave before, not recorded now",
            ),
            (
                {"machine_state": MachineState(gpus=(GpuState("X", power_limit_w=300.0),))},
                {"machine_state": MachineState(gpus=(GpuState("X", power_limit_w=700.0),))},
                "power limit of GPU 0, W: 300.0 before, 700.0 now",
            ),
        ],
    )
    def test_unequal_measurements_have_no_verdict(self, older: Changes, newer: Changes, obstacle: str) -> None:
        result = compare(latency_report(**newer), latency_report(**older))
        assert result.obstacles == [obstacle]
        assert {change.verdict for change in result.changes} == {Verdict.NOT_COMPARABLE}

    def test_clocks_may_vary_and_may_be_unknown(self) -> None:
        newer = latency_report(machine_state=MachineState(cpu_mhz=3000.0, gpus=(GpuState("X", sm_mhz=1980.0),)))
        older = latency_report(machine_state=MachineState(cpu_mhz=1500.0, gpus=(GpuState("X", sm_mhz=345.0),)))
        assert compare(newer, older).obstacles == []
        assert compare(newer, latency_report()).obstacles == []

    def test_semlink_itself_may_differ(self) -> None:
        older = latency_report(versions={"python": "3.10.12", "semlink": "0.0.9"})
        assert compare(latency_report(), older).obstacles == []

    def test_differing_settings_are_named_and_compared(self) -> None:
        newer = latency_report(settings={"precision": "int8", "threads": 2})
        result = compare(newer, latency_report())
        assert result.differing_settings == ["precision: fp32 before, int8 now"]
        assert result.obstacles == []

    @pytest.mark.parametrize("least_change", [-0.1, float("nan"), float("inf")])
    def test_least_change_must_be_a_share(self, least_change: float) -> None:
        with pytest.raises(ConfigError, match="least change must be 0 or more"):
            compare(latency_report(), latency_report(), least_change=least_change)

    @pytest.mark.parametrize(
        ("older", "words"),
        [
            (latency_report(kind="soak"), "two kinds cannot be compared: latency and soak"),
            (latency_report(stages=[]), "no timed stages"),
        ],
    )
    def test_reports_that_cannot_be_compared(self, older: Report, words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            compare(latency_report(), older)
