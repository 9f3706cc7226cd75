"""The words and numbers under which results are shown."""

import pandas as pd
import pytest

from brainflix import report


def row(variant, metric, value, *, subject="01", simulated=True):
    numbers = {
        "value": value,
        "low": value - 0.1,
        "high": value + 0.1,
        "chance": 0.25,
        "ceiling": 1.0,
        "n": 9,
    }
    names = {"dataset": "bmd", "variant": variant, "subject": subject, "seed": 0, "metric": metric}
    return {**names, **numbers, "simulated": simulated, "definition": report.measured(metric, "toy (frames 2)", 20)}


def table(*, simulated=True):
    metrics = ["ssim", "nway_2_top1", "nway_50_any3", "z_mse", "b_mse", "retrieval_top1", "retrieval_top5"]
    rows = [row(v, m, 0.5, simulated=simulated) for v in ("oracle", "full") for m in metrics]
    return pd.DataFrame([*rows, row("full", "ssim", 0.7, subject="02", simulated=simulated)], columns=report.COLUMNS)


def test_a_printed_table_fits_a_terminal_and_shows_every_value():
    text = report.readable(table())
    assert max(map(len, text.splitlines())) <= 125
    assert text.count("0.500 (0.40-0.60)") == 14 and text.count("0.700 (0.60-0.80)") == 1
    assert text.count("chance") == 2 and "nan" not in text.lower()


def test_only_simulated_tables_say_simulated():
    assert report.SIMULATED in report.readable(table())
    assert report.SIMULATED not in report.readable(table(simulated=False))


@pytest.mark.parametrize("metric, words", [("nway_50_any3", "50-way"), ("z_retrieval_top5", "true z is among the 5")])
def test_definitions_name_their_numbers(metric, words):
    assert words in report.definition(metric)


def test_an_unknown_metric_has_no_definition():
    with pytest.raises(KeyError):
        report.definition("accuracy")


def test_only_errors_are_better_when_less():
    assert [m for m in ("ssim", "z_mse", "b_mse", "z_corr", "retrieval_top1") if report.is_error(m)] == [
        "z_mse",
        "b_mse",
    ]
