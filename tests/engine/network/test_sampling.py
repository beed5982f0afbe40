"""Tokens are drawn as often as they are likely, by numbers that depend on nothing else."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from idlescope.engine.network.sampling import Sampling, sample, uniform


class TestSampling:
    logits = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.07, 0.03]))

    def frequencies(self, count=20_000, **how):
        tokens = sample(
            self.logits.repeat(count, 1),
            torch.arange(count, dtype=torch.int32),
            torch.zeros(count, dtype=torch.int32),
            Sampling(**how),
        )
        return torch.bincount(tokens, minlength=5) / count

    @pytest.mark.parametrize(
        ("how", "expected"),
        [
            ({"temperature": 1.0}, [0.4, 0.3, 0.2, 0.07, 0.03]),
            ({"temperature": 1.0, "top_k": 2}, [4 / 7, 3 / 7, 0, 0, 0]),
            ({"temperature": 1.0, "top_p": 0.7}, [4 / 7, 3 / 7, 0, 0, 0]),
            ({"temperature": 1.0, "top_p": 0.71}, [4 / 9, 3 / 9, 2 / 9, 0, 0]),
            (
                {"temperature": 0.5},
                [v / 0.2958 for v in (0.16, 0.09, 0.04, 0.0049, 0.0009)],
            ),
            ({"temperature": 1.0, "top_k": 3, "top_p": 0.7}, [4 / 7, 3 / 7, 0, 0, 0]),
        ],
    )
    def test_tokens_are_drawn_as_often_as_they_are_likely(self, how, expected):
        assert torch.allclose(self.frequencies(**how), torch.tensor(expected), atol=0.012)

    def test_greedy_takes_the_likeliest(self):
        assert self.frequencies(100).tolist() == [1, 0, 0, 0, 0]

    def test_uniform_numbers_are_uniform_and_differ_by_seed_request_and_position(self):
        request, position = (
            t.flatten().int()
            for t in torch.meshgrid(torch.arange(200), torch.arange(200), indexing="ij")
        )
        drawn = [uniform(seed, request, position) for seed in (0, 1, 2**40)]
        assert len(torch.unique(torch.cat(drawn))) == 3 * 40_000
        for values in drawn:
            assert values.min() >= 0
            assert values.max() < 1
            counts = torch.histc(values, 50, 0, 1)
            assert (
                (counts - 800) ** 2 / 800
            ).sum() < 100  # chi square, 49 degrees of freedom: p = 2e-5
        square = drawn[0].view(200, 200)
        for a, b in (
            (square[1:], square[:-1]),
            (square[:, 1:], square[:, :-1]),
            (drawn[0], drawn[1]),
        ):
            assert abs(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1]) < 0.02
