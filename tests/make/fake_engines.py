"""Engines that compute nothing: classes and methods called as vLLM's and SGLang's are, with their signatures.

Read in vLLM 0.24.0 and SGLang 0.5.13. Each package is written as files, so that it is imported as
the true one is.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

VLLM_RUNNER_V2 = """
    from contextlib import contextmanager

    from vllm.v1.worker.gpu.async_utils import AsyncOutput
    from vllm.v1.worker.gpu.cudagraph_utils import ModelCudaGraphManager

    HAPPENED = []

    @contextmanager
    def set_forward_context(attn_metadata, vllm_config, **more):
        HAPPENED.append("context entered")
        yield
        HAPPENED.append("context left")

    class RequestState:
        def __init__(self):
            self.req_id_to_index = {}

    class GPUModelRunner:
        def __init__(self, vllm_config, device):
            self.vllm_config, self.device = vllm_config, device
            self.req_states = RequestState()
            self.cudagraph_manager = ModelCudaGraphManager()
            self.full_graph = True

        def execute_model(self, scheduler_output, intermediate_tensors=None, dummy_run=False,
                          skip_attn_for_dummy_run=False, is_profile=False):
            if not dummy_run:
                for request in scheduler_output.finished_req_ids:
                    self.req_states.req_id_to_index.pop(request, None)
                if scheduler_output.total_num_scheduled_tokens == 0:
                    return None
                for number, request in enumerate(scheduler_output.num_scheduled_tokens):
                    self.req_states.req_id_to_index[request] = number
            self.prepare_inputs(scheduler_output)
            if self.full_graph:
                return self.cudagraph_manager.run_fullgraph("a batch")
            with set_forward_context(None, self.vllm_config, num_tokens=1):
                HAPPENED.append("model")

        def prepare_inputs(self, scheduler_output):
            HAPPENED.append("prepared")

        def sample_tokens(self, grammar_output):
            HAPPENED.append("sampled")
            return AsyncOutput()

        def _dummy_run(self, num_tokens, **more):
            from vllm.made import scheduled
            self.execute_model(scheduled({"dummy": num_tokens}), dummy_run=True)
"""
VLLM_RUNNER_V1 = """
    HAPPENED = []

    class AsyncGPUModelRunnerOutput:
        def get_output(self):
            HAPPENED.append("waited")
            return "tokens"

    class GPUModelRunner:
        def __init__(self, vllm_config, device):
            self.vllm_config, self.device = vllm_config, device
            self.requests = {}
            self.use_async_scheduling = False

        def execute_model(self, scheduler_output, intermediate_tensors=None):
            for request in scheduler_output.finished_req_ids:
                self.requests.pop(request, None)
            if not scheduler_output.total_num_scheduled_tokens:
                return None
            self.requests |= scheduler_output.num_scheduled_tokens
            self._model_forward()

        def _model_forward(self, input_ids=None, positions=None, intermediate_tensors=None,
                           inputs_embeds=None, **model_kwargs):
            HAPPENED.append("model")

        def sample_tokens(self, grammar_output):
            if self.use_async_scheduling:
                return AsyncGPUModelRunnerOutput()
            return self._to_list([1])

        def _to_list(self, sampled_token_ids):
            HAPPENED.append("waited")
            return sampled_token_ids

        def _dummy_run(self, num_tokens, **more):
            self._model_forward()
"""
VLLM = {
    "vllm/__init__.py": '__version__ = "{version}"',
    "vllm/made.py": """
        from types import SimpleNamespace

        def scheduled(tokens, new=(), drafts=None, finished=()):
            return SimpleNamespace(
                num_scheduled_tokens=dict(tokens), total_num_scheduled_tokens=sum(tokens.values()),
                scheduled_new_reqs=list(new), scheduled_spec_decode_tokens=drafts or {},
                finished_req_ids=set(finished))
    """,
    "vllm/v1/worker/gpu/model_runner.py": VLLM_RUNNER_V2,
    "vllm/v1/worker/gpu/cudagraph_utils.py": """
        class CudaGraphManager:
            def run_fullgraph(self, desc):
                return "replayed"

        class ModelCudaGraphManager(CudaGraphManager):
            def run_fullgraph(self, desc):
                super().run_fullgraph(desc)
                return None
    """,
    "vllm/v1/worker/gpu/async_utils.py": """
        class AsyncOutput:
            def get_output(self):
                return "tokens"
    """,
    "vllm/v1/worker/gpu_model_runner.py": VLLM_RUNNER_V1,
    "vllm/v1/worker/gpu_worker.py": """
        class Worker:
            def __init__(self, model_runner):
                self.model_runner = model_runner

            def init_device(self):
                return "ready"

            def execute_dummy_batch(self):
                self.model_runner._dummy_run(1, uniform_decode=True)
    """,
    "vllm/v1/core/sched/scheduler.py": """
        class Scheduler:
            def schedule(self, throttle_prefills=False):
                return "scheduled"

            def update_from_output(self, scheduler_output, model_runner_output):
                return {}
    """,
    "vllm/v1/sample/rejection_sampler.py": """
        class RejectionSampler:
            @staticmethod
            def parse_output(output_token_ids, vocab_size, discard_req_indices=(), logprobs_tensors=None):
                return output_token_ids, None
    """,
}

SGLANG = {
    "sglang/__init__.py": '__version__ = "{version}"',
    "sglang/srt/model_executor/model_runner.py": """
        class ModelRunner:
            def __init__(self, gpu_id=0, tp_rank=1, tp_size=2, pp_rank=1, device="cpu"):
                self.gpu_id, self.device = gpu_id, device
                self.tp_rank, self.tp_size, self.pp_rank = tp_rank, tp_size, pp_rank
                self.load_model()

            def load_model(self):
                pass

            def forward(self, forward_batch):
                if forward_batch.forward_mode.is_decode():
                    return self.forward_decode(forward_batch)
                return self.forward_extend(forward_batch)

            def forward_decode(self, forward_batch, pp_proxy_tensors=None):
                pass

            def forward_extend(self, forward_batch, pp_proxy_tensors=None):
                pass

            def forward_idle(self, forward_batch, pp_proxy_tensors=None):
                pass

            def sample(self, logits_output, forward_batch):
                return [1]
    """,
    "sglang/srt/managers/scheduler.py": """
        import time
        from types import SimpleNamespace

        from sglang.srt.managers.scheduler_components.batch_result_processor import (
            SchedulerBatchResultProcessor,
        )
        from sglang.srt.managers.scheduler_components.request_receiver import (
            SchedulerRequestReceiver,
        )
        from sglang.srt.model_executor.model_runner import ModelRunner

        class Scheduler:
            def __init__(self, batches, overlap=False):
                self.batches = list(batches)  # None: there is nothing to run
                self.model_runner = ModelRunner()
                self.request_receiver = SchedulerRequestReceiver()
                self.batch_result_processor = SchedulerBatchResultProcessor()
                self.last_batch = None
                self.overlap = overlap

            def event_loop(self):
                while self.batches:
                    self.process_input_requests(self.request_receiver.recv_requests())
                    batch = self.get_next_batch_to_run()
                    if batch:
                        result = self.run_batch(batch)
                        if not self.overlap:
                            self.process_batch_result(batch, result)
                    if self.last_batch and self.overlap:
                        self.process_batch_result(self.last_batch, None)
                    elif batch is None:
                        self.on_idle()
                    self.last_batch = batch

            def process_input_requests(self, recv_reqs):
                pass

            def get_next_batch_to_run(self):
                return self.batches.pop(0)

            def run_batch(self, batch, pp_proxy_tensors=None):
                self.model_runner.forward(batch)
                self.model_runner.sample(None, batch)
                return SimpleNamespace(delay_sample_func=None)

            def process_batch_result(self, batch, result):
                processor = self.batch_result_processor
                if batch.forward_mode.is_extend():
                    processor.process_batch_result_prefill(batch, result)
                else:
                    processor.process_batch_result_decode(batch, result)

            def launch_batch_sample_if_needed(self, batch_result):
                pass

            def is_fully_idle(self, for_health_check=False):
                return True

            sleep_ns = 0

            def on_idle(self):
                time.sleep(self.sleep_ns / 1e9)
    """,
    "sglang/srt/managers/scheduler_components/request_receiver.py": """
        class SchedulerRequestReceiver:
            def recv_requests(self):
                return []
    """,
    "sglang/srt/managers/scheduler_components/batch_result_processor.py": """
        import time

        class SchedulerBatchResultProcessor:
            def process_batch_result_decode(self, batch, result):
                self._normalize_decode_outputs(
                    batch=batch, result=result, logits_output=None, next_token_ids=[1])

            tolist_ns = 0  # how long the tokens of a prefill are waited for

            def process_batch_result_prefill(self, batch, result):
                time.sleep(self.tolist_ns / 1e9)
                self.move_logprobs_to_cpu(batch=batch, logits_output=None)
                time.sleep(self.tolist_ns / 1e9)

            def move_logprobs_to_cpu(self, *, batch, logits_output):
                pass

            def _normalize_decode_outputs(self, *, batch, result, logits_output, next_token_ids):
                return next_token_ids, None
    """,
}


def write_engine(folder: Path, files: dict[str, str], version: str) -> None:
    """Write the package of an engine of a version."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).replace("{version}", version))
        for parent in path.parents:
            if parent == folder:
                break
            (parent / "__init__.py").touch()
