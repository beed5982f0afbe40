"""The methods that hooks are made for are in the engines that are installed here."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

# By module: classes and their methods; "": functions of the module.
NEEDED = {
    "vllm": {
        "v1/worker/gpu/model_runner.py": {
            "GPUModelRunner": ["__init__", "execute_model", "sample_tokens"]
        },
        "v1/worker/gpu_model_runner.py": {
            "GPUModelRunner": [
                "__init__",
                "execute_model",
                "sample_tokens",
                "_model_forward",
                "_to_list",
            ],
            "AsyncGPUModelRunnerOutput": ["get_output"],
        },
        "v1/worker/gpu/cudagraph_utils.py": {"ModelCudaGraphManager": ["run_fullgraph"]},
        "v1/worker/gpu/async_utils.py": {"AsyncOutput": ["get_output"]},
        "v1/worker/gpu_worker.py": {"Worker": ["init_device", "execute_dummy_batch"]},
        "v1/core/sched/scheduler.py": {"Scheduler": ["schedule", "update_from_output"]},
        "v1/sample/rejection_sampler.py": {"RejectionSampler": ["parse_output"]},
    },
    "sglang": {
        "srt/model_executor/model_runner.py": {
            "ModelRunner": ["load_model", "forward_decode", "forward_extend", "sample"]
        },
        "srt/managers/scheduler.py": {
            "Scheduler": [
                "__init__",
                "run_batch",
                "get_next_batch_to_run",
                "process_input_requests",
                "process_batch_result",
                "launch_batch_sample_if_needed",
                "on_idle",
                "is_fully_idle",
            ]
        },
        "srt/managers/scheduler_components/batch_result_processor.py": {
            "SchedulerBatchResultProcessor": [
                "_normalize_decode_outputs",
                "move_logprobs_to_cpu",
                "process_batch_result_prefill",
            ]
        },
    },
}


@pytest.mark.parametrize("package", NEEDED)
def test_methods_are_where_hooks_look_for_them(package):
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    for file, classes in NEEDED[package].items():
        tree = ast.parse((Path(spec.origin).parent / file).read_text(encoding="utf-8"))
        methods = {
            node.name: {
                item.name for item in node.body if isinstance(item, ast.FunctionDef)
            }
            for node in tree.body
            if isinstance(node, ast.ClassDef)
        }
        for name, wanted in classes.items():
            assert set(wanted) <= methods[name], f"{file}: {name}"
