"""What the UI shows about the training data: the use of each column and what a person should know, literally."""

from __future__ import annotations

import dagster as dg
import numpy as np
import pyarrow as pa

from lstm_pipeline.orchestration.metadata import dataset_metadata
from lstm_pipeline_tests.mill import ROWS, mill_dataset, mill_table


def test_the_use_of_columns_and_the_notes_are_shown_literally() -> None:
    wind = np.where(np.arange(ROWS) % 7 == 3, 1.0 + np.arange(ROWS), np.nan)
    table = mill_table().append_column("a|b <i>*$", pa.array(wind, from_pandas=True))
    table = table.append_column("on\noff", pa.array([True] * ROWS))
    shown = dataset_metadata(mill_dataset(table))
    assert shown["columns"] == dg.MetadataValue.md(
        "- power: load, parts\n"
        "- warmth: heat\n"
        r"- input only: a\|b &lt;i\>\*\$, wind" + "\n"
        r"- ignored: note \(in drop\_cols\), on\\noff \(boolean\)"
    )
    assert shown["columns_ignored"] == {"note": "in drop_cols", "on\noff": "boolean"}
    assert shown["notes"] == dg.MetadataValue.md(
        "- columns with a rhythm of their own hold each value until the next one: "
        r"a\|b &lt;i\>\*\$ \(every 7 steps at most\)"
    )
    assert dataset_metadata(mill_dataset())["notes"] == dg.MetadataValue.md("none")
