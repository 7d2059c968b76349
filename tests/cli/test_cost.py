"""--cost: what is measured, and that nothing is guessed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from llmcli.cli import cost


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RAPL's counters: a package, its core, and another domain; no graphics."""
    for zone, name in {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:1": "psys"}.items():
        (tmp_path / "cap" / zone).mkdir(parents=True)
        (tmp_path / "cap" / zone / "name").write_text(f"{name}\n")
        (tmp_path / "cap" / zone / "energy_uj").write_text("1000000\n")
        (tmp_path / "cap" / zone / "max_energy_range_uj").write_text("10000000\n")
    monkeypatch.setattr(cost, "POWERCAP", tmp_path / "cap")
    monkeypatch.setattr(cost, "NVML", "no-such-library")
    return tmp_path / "cap"


def test_energy_is_the_packages(powercap: Path):
    meter = cost.Meter()
    (powercap / "intel-rapl:0" / "energy_uj").write_text("3500000\n")
    assert dict(meter.cost(input_tokens=0, output_tokens=0, pid=os.getpid()).joules) == {"package-0": 2.5}
    (powercap / "intel-rapl:0" / "energy_uj").write_text("500000\n")  # it began anew, after ten joules
    assert dict(meter.cost(input_tokens=0, output_tokens=0, pid=os.getpid()).joules) == {"package-0": 9.5}


def test_where_no_counter_can_be_read_nothing_is_guessed(powercap: Path):
    for file in powercap.glob("*/energy_uj"):
        file.unlink()
    found = cost.Meter().cost(input_tokens=0, output_tokens=0, pid=os.getpid())
    assert found.as_json()["energy_joules"] is None
    assert found.line().endswith("energy not measurable here")


def test_peak_memory_is_that_of_the_process():
    own = cost.peak(os.getpid())
    assert own is not None
    assert own > 10_000_000
    assert cost.peak(2**22 + 1) is None


def test_a_single_text(cli, fake, powercap: Path):
    done = cli("sentiment", "--cost", "--json", "a good day")
    value = json.loads(done.out)["cost"]
    assert list(value) == ["input_tokens", "output_tokens", "seconds", "peak_memory", "energy_joules"]
    assert value["input_tokens"] == json.loads(done.out)["input_tokens"] > 0
    assert value["energy_joules"] == {"package-0": 0.0}
    assert f"llmcli: cost: {value['input_tokens']:,} tokens in, 0 out" in done.err
    assert cli("sentiment", "--cost", "a good day").out == "positive\t0.9863\n"
    assert cli("sentiment", "--cost", "-q", "a good day").err == ""


def test_a_batch(cli, fake, powercap: Path):
    done = cli("sentiment", "--cost", "--jsonl", stdin='{"text": "good"}\n{"text": "bad"}\n')
    assert all("cost" not in json.loads(line) for line in done.out.splitlines())
    assert done.err.count("cost: ") == 1
