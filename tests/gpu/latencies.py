"""Measure the host and copy latencies that the modelled device uses, on one CUDA GPU; prints one JSON object.

Run on a GPU machine: `python tests/gpu/latencies.py`. Medians of repeated calls; microseconds
unless a name says else.
"""

import json
import platform
import statistics
import time

import torch


def median_call_us(call, before=lambda: None, repeats=300):
    """Median host time of `call`, with `before` run untimed ahead of each."""
    times = []
    for _ in range(repeats):
        before()
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1e3


def copy_us(source, target, stream, repeats=100):
    """Median duration of one asynchronous copy between two events on its stream."""
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        first, last = (torch.cuda.Event(enable_timing=True) for _ in "ab")
        with torch.cuda.stream(stream):
            torch.cuda._sleep(
                200_000
            )  # so that event and copy are queued before the stream reaches them
            first.record(stream)
            target.copy_(source, non_blocking=True)
            last.record(stream)
        torch.cuda.synchronize()
        times.append(first.elapsed_time(last) * 1e3)
    return statistics.median(times)


def event_wait_us(a, b, repeats=200):
    """Median time from an event on stream a to the first event after the wait for it on stream b."""
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        done, woken = (torch.cuda.Event(enable_timing=True) for _ in "ab")
        with torch.cuda.stream(a):
            torch.cuda._sleep(200_000)
        done.record(a)
        b.wait_event(done)
        woken.record(b)
        torch.cuda.synchronize()
        times.append(done.elapsed_time(woken) * 1e3)
    return statistics.median(times)


def return_us(stream, blocking, cycles, repeats=200):
    """Median time from the launch of a sleeping kernel to the return of the wait for its event."""
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        event = torch.cuda.Event(blocking=blocking)
        start = time.perf_counter_ns()
        with torch.cuda.stream(stream):
            torch.cuda._sleep(cycles)
        event.record(stream)
        event.synchronize()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1e3


def main():
    h2d, compute, d2h = (torch.cuda.Stream() for _ in range(3))
    result = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    x = torch.zeros(1024, device="cuda")
    graphs = {}
    for nodes in (1, 500, 1500):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=compute):
            for _ in range(nodes):
                x.add_(1.0)
        graph.replay()
        graphs[nodes] = graph
    for nodes, graph in graphs.items():
        result[f"graph_launch_call_{nodes}_nodes"] = median_call_us(
            graph.replay, torch.cuda.synchronize
        )
    pinned = torch.zeros(64 * 1024, dtype=torch.int32, pin_memory=True)
    on_device = torch.zeros_like(pinned, device="cuda")

    def copy_in():
        with torch.cuda.stream(h2d):
            on_device.copy_(pinned, non_blocking=True)

    event = torch.cuda.Event(blocking=True)
    result["memcpy_async_call"] = median_call_us(copy_in, torch.cuda.synchronize)
    result["event_record_call"] = median_call_us(lambda: event.record(h2d))
    result["stream_wait_event_call"] = median_call_us(lambda: compute.wait_event(event))
    for nbytes in (128, 32 * 1024, 256 * 1024, 4 << 20, 64 << 20):
        host = torch.zeros(nbytes // 4, dtype=torch.int32, pin_memory=True)
        device = torch.zeros_like(host, device="cuda")
        result[f"h2d_{nbytes}_bytes"] = copy_us(host, device, h2d)
        result[f"d2h_{nbytes}_bytes"] = copy_us(device, host, d2h)
    result["event_wait_across_streams"] = event_wait_us(h2d, compute)
    for cycles in (2_000, 2_000_000, 20_000_000):
        result[f"return_spin_{cycles}"] = return_us(compute, False, cycles)
        result[f"return_blocking_{cycles}"] = return_us(compute, True, cycles)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
