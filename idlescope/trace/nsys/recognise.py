"""Tell the files of Nsight Systems from others, without importing what reads them."""

from __future__ import annotations

from pathlib import Path

# Reports begin with "NVIDIA Tegra Profiler Report" (nsys 2023.4).
REPORT_MAGIC = b"NVIDIA Tegra Pro"
REPORT_SUFFIXES = (".nsys-rep", ".qdrep")  # the second until 2021


def is_report(path: Path, head: bytes) -> bool:
    """Return whether a file is a report, from its first bytes or its name."""
    return head.startswith(REPORT_MAGIC) or path.suffix in REPORT_SUFFIXES


def is_parquet_export(folder: Path) -> bool:
    """Return whether a folder holds the tables of `nsys export --type parquetdir`."""
    if not folder.is_dir() or next(folder.glob("*.parquet"), None) is None:
        return False
    from idlescope.trace.nsys.reader import EVENTS

    return any(
        (folder / f"{table_name}.parquet").is_file()
        for table_name in (*EVENTS, "StringIds")
    )
