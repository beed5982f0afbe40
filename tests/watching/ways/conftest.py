"""A libcupti for tests: compiled once, loaded anew for each test."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("cupti_stub.c")


@pytest.fixture(scope="session")
def compiled_stub(tmp_path_factory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = tmp_path_factory.mktemp("cupti") / "libcupti_stub.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)], check=True
    )
    return library


@pytest.fixture
def stub(compiled_stub, tmp_path) -> ctypes.CDLL:
    """Load a copy of its own: its state is that of the file that was loaded."""
    copy = shutil.copy(compiled_stub, tmp_path / "libcupti_stub.so")
    library = ctypes.CDLL(copy)
    wide, text = ctypes.c_uint64, ctypes.c_char_p
    narrow = ctypes.c_uint32
    library.stub_call.argtypes = [narrow, narrow, wide, wide]
    library.stub_kernel.argtypes = [text, narrow, narrow, narrow, wide, wide]
    library.stub_copy.argtypes = [narrow, narrow, narrow, narrow, wide, wide]
    library.stub_graph.argtypes = [narrow, narrow, narrow, wide, wide]
    library.stub_clock.argtypes = [ctypes.c_int64, ctypes.c_double]
    library.stub_now.restype = wide
    return library
