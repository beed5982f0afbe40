"""The few calls of torch and CUDA that timing by events needs: the layer that tests replace."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from idlescope.errors import ConfigError

# cudaStreamCaptureModeRelaxed: what this thread asks of its events does not break a capture that
# another thread has in progress (CUDA runtime API, cudaThreadExchangeStreamCaptureMode).
RELAXED = 2


class CudaCalls:
    """Calls on one device. Raises ConfigError where this process has none."""

    def __init__(self, device: int | None = None) -> None:
        import torch

        if not torch.cuda.is_available():
            raise ConfigError("torch finds no CUDA device")
        self.index = torch.cuda.current_device() if device is None else device
        self._torch = torch
        self._current = torch._C._cuda_getCurrentStream
        self._streams: dict[tuple[int, int, int], Any] = {}
        self._exchange_mode = _exchange_capture_mode()
        self.capturing = torch.cuda.is_current_stream_capturing
        # What torch's events call themselves, less a call in Python each time.
        base, event_type = torch._C._CudaEventBase, torch.cuda.Event
        self.record: Callable[[Any, Any], None]
        self.record = getattr(base, "record", event_type.record)
        self.elapsed_ms: Callable[[Any, Any], float]
        self.elapsed_ms = getattr(base, "elapsed_time", event_type.elapsed_time)

    def name(self) -> str:
        """Return what the device is called."""
        return str(self._torch.cuda.get_device_name(self.index))

    def identity(self) -> str:
        """Return the UUID of the device; "" where torch does not tell."""
        properties = self._torch.cuda.get_device_properties(self.index)
        return str(getattr(properties, "uuid", ""))

    def event(self) -> Any:
        """Return a new timed event."""
        return self._torch.cuda.Event(enable_timing=True)

    def stream(self) -> Any:
        """Return the stream that this thread issues to: the same object for the same stream."""
        key = self._current(self.index)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = self._torch.cuda.current_stream(self.index)
        return stream

    def own_stream(self) -> Any:
        """Return a new stream that nothing else is issued to."""
        with self._torch.cuda.device(self.index):
            return self._torch.cuda.Stream()

    @contextmanager
    def beside_captures(self) -> Iterator[None]:
        """Meanwhile this thread may ask about events although another captures a graph.

        The device is made the thread's own meanwhile: calls of a thread that has none would take
        memory of the first device.
        """
        mode = ctypes.c_int(RELAXED)
        with self._torch.cuda.device(self.index):
            self._exchange_mode(ctypes.byref(mode))  # swaps: `mode` is the thread's own now
            try:
                yield
            finally:
                self._exchange_mode(ctypes.byref(mode))


def _exchange_capture_mode() -> Any:
    """Return cudaThreadExchangeStreamCaptureMode of the runtime that torch brought.

    Raises ConfigError where it is not found: without it, asking about an event would break a
    capture of another thread.
    """
    import torch

    major = str(torch.version.cuda or "").split(".")[0]
    for library in (None, f"libcudart.so.{major}", f"cudart64_{major}.dll"):
        try:
            return ctypes.CDLL(library).cudaThreadExchangeStreamCaptureMode
        except (OSError, AttributeError, TypeError):
            continue
    raise ConfigError("the CUDA runtime that torch uses was not found: no timing by events")
