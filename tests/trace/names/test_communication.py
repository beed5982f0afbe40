"""Kernels that move data between devices are told by their names; look-alikes are not."""

import pytest

from idlescope.trace.names.communication import (
    COLLECTIVES,
    Collective,
    collective,
    collectives,
)

ARGUMENTS = "(ncclDevKernelArgsStorage<4096ul>)"


@pytest.mark.parametrize(
    ("kernel", "what"),
    [
        (f"ncclDevKernel_AllReduce_Sum_bf16_RING_LL{ARGUMENTS}", Collective.ALL_REDUCE),
        (f"ncclDevKernel_SendRecv{ARGUMENTS}", Collective.SEND_RECV),
        (f"ncclDevKernel_Generic_4{ARGUMENTS}", Collective.OTHER),
        ("ncclKernel_AllGather_RING_LL_Sum_int8_t(ncclWorkElem)", Collective.ALL_GATHER),
        ("ncclSymkDevKernel_AllReduce_AGxLL_R_sum_bf16", Collective.ALL_REDUCE),
        ("void vllm::cross_device_reduce_1stage<__nv_bfloat16, 2>", Collective.ALL_REDUCE),
        ("_ZN6sglang26cross_device_reduce_2stageI6__halfLi8EEE", Collective.ALL_REDUCE),
        ("void quickreduce::allreduce_prototype_twoshot<int>", Collective.ALL_REDUCE),
        (
            "void flashinfer::trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport<1>",
            Collective.ALL_REDUCE,
        ),
        ("void tensorrt_llm::kernels::oneShotAllReduceKernel<half>", Collective.ALL_REDUCE),
        (
            "void tensorrt_llm::kernels::moe_comm::moeA2ADispatchKernel<1>",
            Collective.DISPATCH,
        ),
        ("void multimem_all_reduce_kernel<c10::BFloat16, 16>", Collective.ALL_REDUCE),
        ("two_shot_all_reduce_kernel", Collective.ALL_REDUCE),
        ("void deep_ep::internode_ll::dispatch<true, false, 7168>", Collective.DISPATCH),
        ("void deep_ep::intranode::combine<__nv_bfloat16, 8>", Collective.COMBINE),
        ("mscclKernel_Sum_half_Simple_false", Collective.OTHER),
        ("nvshmemi_barrier_all_kernel", Collective.BARRIER),
    ],
)
def test_what_a_kernel_does_between_devices(kernel, what):
    assert collective(kernel) is what


@pytest.mark.parametrize(
    "kernel",
    [
        "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, AllReduce>>",
        "void cublasLt::splitKreduce_kernel<32, 16, int, float>",
        "void cutlass::device_kernel<flash::FlashAttnFwdCombine<cute::tuple<int>>>",
        "void deep_ep::layout::get_dispatch_layout<256, 32, 8>",
        "triton_poi_fused_add_all_reduce_wait_tensor_3",
        "gemm_allreduce_kernel",
        "ampere_bf16_s16816gemm_bf16_128x64",
        "",
    ],
)
def test_a_kernel_that_only_sounds_like_it_computes(kernel):
    assert collective(kernel) is Collective.NONE


def test_only_names_that_kernels_have_are_asked_for():
    names = ("ncclDevKernel_AllGather_RING", "all_gather", "gemm")
    assert collectives(names, [0, 2]).tolist() == [Collective.ALL_GATHER.code, 0, 0]
    assert COLLECTIVES[0] is Collective.NONE
