"""What a Parquet file's columns unfold to is known before they do."""

from pathlib import Path

import polars as pl
import pytest

from learning.errors import InvalidTelemetry
from learning.telemetry.parquet_pages import sizes

ROWS = pl.DataFrame({"text": ["A" * 10_000] * 50, "number": range(50), "list": [[1.0, 2.0]] * 50})


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "lz4", "uncompressed"])
def test_sizes_are_those_in_memory_whatever_the_compression(compression: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    different = ROWS.with_columns(text=pl.col("text") + pl.int_range(50).cast(pl.String))
    different.write_parquet(path, compression=compression, row_group_size=20)  # type: ignore[arg-type]
    found = sizes(path)
    assert set(found) == {"text", "number", "list"}
    assert 500_000 < found["text"] < 510_000
    assert found["number"] < 50 * 8 + 50 * 3 * 16
    assert found["list"] < 100 * 8 + 100 * 3 * 16


@pytest.mark.parametrize("cut", [1, 4, 9, 100, 300])
def test_a_file_cut_short_is_refused(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    ROWS.write_parquet(path)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InvalidTelemetry, match="Parquet file is damaged"):
        sizes(path)
