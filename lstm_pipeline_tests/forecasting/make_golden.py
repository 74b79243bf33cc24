"""Makes `golden/` anew: a published version, an input, and the version's forecast from it.

    python -m lstm_pipeline_tests.forecasting.make_golden

The golden version represents the versions that users have in their storage. Make it anew only if earlier versions are
meant to become unreadable or if it should contain more, never to make a failing test pass.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from lstm_pipeline import Ensemble
from lstm_pipeline_tests.mill import TINY, mill_project, mill_table, publish_mill, train_mill

GOLDEN = Path(__file__).parent / "golden"
STORE, INPUT, EXPECTED = GOLDEN / "store", GOLDEN / "input.parquet", GOLDEN / "expected.csv"
HORIZON = 12
RICH = {
    "units": 3, "num_layers": 1, "attention_heads": 2, "attention_type": "luong", "scaler": "robust",
    "learning_rate": 0.01,
}  # fmt: skip


def main() -> None:
    if STORE.is_dir():
        shutil.rmtree(STORE)
    with tempfile.TemporaryDirectory() as folder:
        project = mill_project(Path(folder), models_config={"power": TINY, "warmth": RICH}, sequence_length=6)
        train_mill(project, "golden")
        publish_mill(project, "golden")
        shutil.copytree(project.storage, STORE, ignore=shutil.ignore_patterns("candidates"))
    pq.write_table(mill_table(rows=30, first="2024-03-10"), INPUT)
    forecast = Ensemble.load(str(STORE), "mill").predict(pq.read_table(INPUT), HORIZON)
    forecast.to_csv(EXPECTED, index=False)
    size = sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file())
    print(f"{GOLDEN}: {size / 1024:.0f} KB\n{forecast}")


if __name__ == "__main__":
    main()
