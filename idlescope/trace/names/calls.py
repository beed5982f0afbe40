"""What the names of runtime and driver calls say: which launch work, which wait for the device."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from idlescope.trace.table import Bool

# Calls in which the host waits for the device (CUDA runtime and driver API, HIP's names alike). The
# step clock calls its own wait `event.synchronize`. hipMemcpyWithStream copies and waits for its
# stream; cudaFree waits for the device.
SYNCHRONISING = re.compile(
    r"^(cuda|hip|cu)(Device|Stream|Event|Ctx)Synchronize"
    r"|^(cuda|hip)Free(Host|Array)?(_v\d+)?$"
    r"|^(cuda|hip)Memcpy(2D|3D|ToSymbol|FromSymbol)?(_v\d+)?$"
    r"|^hipMemcpyWithStream"
    r"|^cuMemcpy(DtoH|HtoD|DtoD)?(_v\d+)?$"
    r"|^event\.synchronize( \(.*\))?$"
    # Intel GPUs: Unified Runtime, its predecessor (pi), and Level Zero
    r"|^(ur|pi)(QueueFinish|EventWait|EventsWait)$"
    r"|^ze(CommandQueue|Event|Fence|CommandList)(Host)?Synchronize$"
    # Ascend NPUs
    r"|^AscendCL@aclrt(Synchronize(Stream|Device|Event)(WithTimeout)?|Memcpy)$"
)
GRAPH_LAUNCH = re.compile(r"GraphLaunch|^launch\.graph$")  # the latter of a watch by CUPTI
KERNEL_LAUNCH = re.compile(r"^launch\.kernel$")  # of a watch by CUPTI
COPY_LAUNCH = re.compile(r"^launch\.mem(cpy|set)$")
LAUNCH = re.compile(
    r"LaunchKernel|LaunchCooperativeKernel|GraphLaunch|^(cuda|hip|cu)Mem(cpy|set)|^launch\."
    # Intel GPUs: urEnqueueKernelLaunch, urEnqueueUSMMemcpy, zeCommandListAppendMemoryCopy, …
    r"|^(ur|pi)(ext|ext_oneapi_)?(Enqueue|USMEnqueue)(?!.*(Wait|Barrier))"
    r"|^zeCommandListAppend(LaunchKernel|Memory)"
    r"|^Node@launch$"  # Ascend NPUs
)
MEMSET = re.compile(r"Memset")
COPY = re.compile(r"Memcpy")
# In the names of copies, as operations.
TO_HOST = re.compile(r"DtoH|Device ?To ?Host|DEVICE_TO_HOST", re.IGNORECASE)
# Calls that wait for the device, but can be slow themselves: in a cold start, or where an allocator
# gives memory back and asks for it again.
FREEING = re.compile(r"^(cuda|hip)Free(Host|Array)?(_v\d+)?$")
CAPTURE = re.compile(r"(StreamBeginCapture|StreamEndCapture|GraphInstantiate)")


@lru_cache(maxsize=32)  # an analysis asks the same of one trace's names many times
def matching(pattern: re.Pattern[str], names: tuple[str, ...]) -> Bool:
    """Return for each name whether a pattern is found in it; the array is not to be written to."""
    found = np.array([pattern.search(name) is not None for name in names], np.bool_)
    found.flags.writeable = False
    return found


def synchronising(names: tuple[str, ...]) -> Bool:
    """Return for each name of an API call whether the host waits for the device in it."""
    return matching(SYNCHRONISING, names)
