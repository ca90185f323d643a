"""Typed tables: what columns are, what is missing, and that text comes back."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from frames import load


def test_a_mixed_table_has_typed_columns() -> None:
    Path("x.csv").write_text("age,job,since,pay\n41,cook,2024-02-29,1.50\n,?,2023-01-01,2.25\n7,baker,,NA\n")
    table = load("x.csv", save="y.csv")
    assert table.names == ["age", "job", "since", "pay"]
    assert table.types == ["number", "text", "time", "number"]
    np.testing.assert_array_equal(table["age"], [41, np.nan, 7])
    assert table["job"] == ["cook", None, "baker"]
    np.testing.assert_array_equal(table["since"], [1709164800, 1672531200, np.nan])
    assert [column.decimals for column in table.columns] == [0, 0, 0, 2]
    assert Path("y.csv").read_text() == "age,job,since,pay\n41,cook,2024-02-29,1.50\n,,2023-01-01,2.25\n7,baker,,\n"


@pytest.mark.parametrize("name", ["penguins", "wa_churn", "credit_data", "attrition", "diamonds"])
def test_a_real_table_comes_back_as_it_was(name: str) -> None:
    folder = os.environ.get("DARKNET_VAE_TABLES")
    if not folder:
        pytest.skip("DARKNET_VAE_TABLES does not name the folder of real tables")
    path = Path(folder) / f"{name}.csv"
    load(path, save="out.csv")
    assert Path("out.csv").read_text() == path.read_text()
