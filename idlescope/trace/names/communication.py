"""Which kernels move or reduce data between devices, by name, and what each of them does.

Each rule names its source, read in November 2026. A rule of `IN_PREFIX` is searched for in what
stands before the arguments of templates and of the kernel, with its namespaces; so a template's
argument cannot make a kernel one of communication.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache

import numpy as np

from idlescope.trace.table import Int64


class Collective(str, Enum):
    """What a communication kernel does; NONE is any other kernel."""

    NONE = ""
    ALL_REDUCE = "all-reduce"
    ALL_GATHER = "all-gather"
    REDUCE_SCATTER = "reduce-scatter"
    ALL_TO_ALL = "all-to-all"
    DISPATCH = "dispatch"  # of tokens to the experts of other ranks
    COMBINE = "combine"  # of what the experts made of them
    SEND_RECV = "send and receive"
    BROADCAST = "broadcast"
    BARRIER = "barrier"
    OTHER = "communication"

    def __str__(self) -> str:
        return self.value

    @property
    def code(self) -> int:
        """Return the number that stands for it in columns."""
        return COLLECTIVES.index(self)


COLLECTIVES = tuple(Collective)

# Libraries whose every kernel communicates, by their names and namespaces.
LIBRARIES: tuple[str, ...] = (
    # NCCL and RCCL: ncclDevKernel_*, ncclKernel_*, and those of symmetric memory, ncclSym(k)Dev*
    # (nvidia/nccl src/device/generate.py, src/device/symmetric/generate.py; ROCm/rccl)
    r"nccl\w*kernel|rccl\w*kernel|rccl_|ncclsym",
    # MSCCL and MSCCL++ (microsoft/mscclpp, ROCm/rccl src/device/msccl_kernel_impl.h)
    r"msccl",
    # vLLM csrc/custom_all_reduce.cuh, SGLang sgl-kernel, ROCm/aiter custom_all_reduce.cuh
    r"cross_device_reduce|reduce_scatter_cross_device|cross_device_store",
    # vLLM and SGLang csrc/quickreduce
    r"quickreduce::|quick_reduce|allreduce_prototype",
    # TensorRT-LLM communicationKernels/*, FlashInfer comm/trtllm_*: fused with a norm, too
    r"allreduce_fusion_kernel|lamport_style_\w*all_?reduce|::ar_fusion::|::mnnvl::",
    r"moe_?comm::|moea2a\w*kernel|moe_?all_?to_?all\w*",
    r"trtllm_(mnnvl_)?(allreduce|alltoall)\w*::|fusedmoecomm\w*",
    r"userbuffers_",  # TensorRT-LLM kernels/userbuffers, Transformer Engine
    # torch csrc/distributed/c10d/symm_mem (CUDASymmetricMemoryOps.cu, nvshmem_extension.cu)
    r"multimem_|symm(etric)?_?mem(ory)?::|\b(put|wait)_signal_kernel",
    # DeepEP csrc/kernels, and what follows its names (UCCL, Mooncake): the layout only counts
    r"(deep_ep|uccl|mooncake)\w*::(?!layout::)",
    r"\bep_?(dispatch|combine)\w*kernel|mori::",  # ROCm/mori src/ops
    r"pplx::|a2a_?(dispatch|combine)\w*",  # perplexityai/pplx-kernels, pplx-garden
    # NVIDIA/nvshmem, ROCm/rocSHMEM; Triton-distributed and flux launch its barriers
    r"(nv|roc|xs)shmem",
)
# Kernels of anyone that are called after a collective: Triton, Kraken, TensorRT-LLM's
# oneShotAllReduceKernel, vLLM's and SGLang's Triton all-gathers; but no fused matrix product, whose
# time is mostly computing.
AFTER_COLLECTIVES = (
    r"all_?reduce|all_?gather|reduce_?scatter|all_?to_?all|all2all"
    r"|one_?shot_reduce|two_?shot_reduce"
)
NOT_COMMUNICATION = (
    r"gemm|matmul|_mm_|block_?(all_?)?reduce|warp_?all_?reduce|get_dispatch_layout"
    r"|^triton_\w{3}_fused"  # torch.compile names what it fuses after operators, also past ones
)

# What it does; the first that matches. NCCL's all-to-all is a group of sends and receives.
DOES: tuple[tuple[str, Collective], ...] = (
    (r"reduce_?scatter", Collective.REDUCE_SCATTER),
    (r"all_?to_?all|all2all|a2a(?!_?(dispatch|combine))", Collective.ALL_TO_ALL),
    (r"all_?gather", Collective.ALL_GATHER),
    (r"dispatch", Collective.DISPATCH),
    (r"combine", Collective.COMBINE),
    (r"send_?recv|_send_|_recv_|put_signal|wait_signal", Collective.SEND_RECV),
    (r"broadcast", Collective.BROADCAST),
    (r"barrier", Collective.BARRIER),
    (r"reduce|ar_fusion|mnnvl", Collective.ALL_REDUCE),
)

_LIBRARY = re.compile("|".join(f"(?:{rule})" for rule in LIBRARIES), re.IGNORECASE)
_COLLECTIVE = re.compile(AFTER_COLLECTIVES, re.IGNORECASE)
_OTHER_WORK = re.compile(NOT_COMMUNICATION, re.IGNORECASE)
_DOES = tuple((re.compile(rule, re.IGNORECASE), what) for rule, what in DOES)
_CODES = {collective: number for number, collective in enumerate(COLLECTIVES)}


@lru_cache(maxsize=1 << 16)
def collective(kernel: str) -> Collective:
    """Return what the kernel of a name does between devices; NONE for other kernels."""
    prefix = _prefix(kernel)
    is_library = _LIBRARY.search(prefix) is not None
    if not is_library and _COLLECTIVE.search(prefix) is None:
        return Collective.NONE
    if _OTHER_WORK.search(prefix):
        return Collective.NONE
    for rule, what in _DOES:
        if rule.search(prefix):
            return what
    return Collective.OTHER


def collectives(names: Sequence[str], used: Sequence[int]) -> Int64:
    """Return for each name what such a kernel does, as the code of a Collective.

    `used` are the indices of the names that kernels have; of others it is not asked.
    """
    codes = np.zeros(len(names), np.int64)
    for name_code in used:
        codes[name_code] = _CODES[collective(names[name_code])]
    return codes


def _prefix(kernel: str) -> str:
    """Return what stands before the arguments of a kernel and of its templates.

    A mangled name has no such end, and is taken as it is.
    """
    ends = [end for end in (kernel.find("<"), kernel.find("(")) if end >= 0]
    return kernel[: min(ends)] if ends else kernel
