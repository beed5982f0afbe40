"""What is asked of the engine: drawn lengths and arrivals, and workload files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlescope.engine.workload import (
    Arrivals,
    Lengths,
    Workload,
    arrivals,
    generate,
    lengths,
)
from idlescope.errors import ConfigError

POSITIONS = 16384
CLOSED = Arrivals()


def drawn(
    prompt="256", output="100", arrival="closed", count=1000, seed=0, positions=POSITIONS
) -> Workload:
    sizes = lengths("--prompt-tokens", prompt), lengths("--tokens", output)
    return generate(count, *sizes, arrivals(arrival, 8), positions, seed)


class TestLengths:
    def test_a_number_is_that_number(self):
        assert lengths("--tokens", 512) == lengths("--tokens", "512") == Lengths(512, 512)
        assert set(drawn("7", "9").prompt_tokens) == {7}

    def test_uniform_lengths_reach_both_ends(self):
        tokens = drawn(output="uniform:10,13", count=4000).output_tokens
        values, counts = np.unique(tokens, return_counts=True)
        assert values.tolist() == [10, 11, 12, 13]
        assert counts.min() > 850

    def test_lognormal_lengths_have_the_stated_median_and_mean(self):
        tokens = drawn("lognormal:512,0.5", count=20_000).prompt_tokens
        assert np.median(tokens) == pytest.approx(512, rel=0.02)
        assert tokens.mean() == pytest.approx(512 * np.exp(0.5**2 / 2), rel=0.02)
        assert np.log(tokens).std() == pytest.approx(0.5, rel=0.02)
        assert set(drawn("lognormal:512,0").prompt_tokens) == {512}

    def test_the_same_seed_gives_the_same_workload_and_streams_do_not_mix(self):
        a, b = (drawn("lognormal:50,1", "uniform:1,90", "poisson:3") for _ in range(2))
        for column in ("prompt_tokens", "output_tokens", "arrival_ns"):
            assert (getattr(a, column) == getattr(b, column)).all()
        other = drawn("lognormal:50,1", "uniform:1,90", "poisson:3", seed=1)
        assert (a.prompt_tokens != other.prompt_tokens).any()
        assert (drawn("8", "uniform:1,90").output_tokens == a.output_tokens).all()

    @given(
        prompt=st.sampled_from(
            [
                "1",
                "40",
                "uniform:1,400",
                "uniform:20,99",
                "lognormal:30,3",
                "lognormal:1,0.1",
            ]
        ),
        output=st.sampled_from(["1", "60", "uniform:1,400", "lognormal:30,3"]),
    )
    def test_every_request_fits_and_has_a_token_of_both(self, prompt, output):
        workload = drawn(prompt, output, count=300, positions=100)
        assert min(workload.prompt_tokens.min(), workload.output_tokens.min()) >= 1
        assert workload.longest <= 100
        if prompt.isdecimal():
            assert set(workload.prompt_tokens) == {int(prompt)}
        if output.isdecimal():
            assert set(workload.output_tokens) == {int(output)}

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (
                "many",
                "--tokens is 'many': give a number, uniform:LOW,HIGH or lognormal:MEDIAN,SIGMA",
            ),
            ("normal:5,1", "--tokens is 'normal:5,1'"),
            ("uniform:5", "--tokens is 'uniform:5'"),
            ("lognormal:5,x", "--tokens is 'lognormal:5,x'"),
            ("", "--tokens is ''"),
            (0, "--tokens is 0: give at least 1"),
            ("uniform:0,5", "give at least 1"),
            ("uniform:9,5", "give LOW first"),
            ("1e3", "--tokens is '1e3'"),
            (str(10**30), "at most 1000000000 tokens"),
            ("lognormal:5,-1", "give a SIGMA from 0 to 10"),
            ("lognormal:5,nan", "give a SIGMA from 0 to 10"),
        ],
    )
    def test_what_is_no_length_is_one_sentence(self, text, reason):
        with pytest.raises(ConfigError) as error:
            lengths("--tokens", text)
        assert reason in str(error.value)


class TestArrivals:
    def test_all_are_there_at_the_start_of_a_closed_run(self):
        assert not drawn(arrival="closed").arrival_ns.any()
        assert not drawn(arrival="closed").open

    def test_bursts_come_in_groups(self):
        assert drawn(arrival="burst:2,0.5", count=5).arrival_ns.tolist() == [
            0,
            0,
            500_000_000,
            500_000_000,
            10**9,
        ]
        assert drawn(arrival="burst", count=17).arrival_ns.tolist() == [0] * 8 + [
            10**9
        ] * 8 + [2 * 10**9]

    def test_poisson_gaps_are_exponential(self):
        times = drawn(arrival="poisson:20", count=20_000).arrival_ns
        gaps = np.diff(times) / 1e9
        assert times[0] == 0
        assert (gaps >= 0).all()
        assert gaps.mean() == pytest.approx(1 / 20, rel=0.03)
        assert gaps.std() == pytest.approx(1 / 20, rel=0.03)
        assert drawn(arrival="poisson:20", count=1).arrival_ns.tolist() == [0]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (
                "sometimes",
                "--arrival is 'sometimes': give closed, burst, burst:SIZE,SECONDS or poisson:RATE",
            ),
            ("poisson", "--arrival is 'poisson'"),
            ("closed:1", "--arrival is 'closed:1'"),
            ("burst:4", "--arrival is 'burst:4'"),
            ("poisson:0", "give a RATE"),
            ("poisson:nan", "give a RATE"),
            ("burst:0,1", "give a SIZE"),
            ("burst:4,-1", "SECONDS from 0"),
        ],
    )
    def test_what_is_no_arrival_is_one_sentence(self, text, reason):
        with pytest.raises(ConfigError) as error:
            arrivals(text, 8)
        assert reason in str(error.value)


class TestRequests:
    def test_equal_prompts_are_the_rows_of_one_draw(self):
        """So that the results of runs with fixed lengths stay what they were."""
        prompts = np.random.default_rng(3).integers(0, 100, (4, 5), np.int32)
        requests = drawn("5", "7", count=4).requests(100, 3)
        assert [r.prompt.tolist() for r in requests] == prompts.tolist()
        assert {r.prompt.dtype for r in requests} == {np.dtype(np.int32)}
        assert [r.limit for r in requests] == [12] * 4

    def test_they_have_the_drawn_lengths_and_are_new_each_time(self):
        workload = drawn("uniform:1,9", "uniform:1,9", "poisson:1", count=20)
        first, second = workload.requests(100, 1, (2,)), workload.requests(100, 1, (2,))
        assert [len(r.prompt) for r in first] == workload.prompt_tokens.tolist()
        assert [(r.max_tokens, r.arrival_ns) for r in first] == [
            *zip(workload.output_tokens.tolist(), workload.arrival_ns.tolist(), strict=True)
        ]
        assert all(
            (a.prompt == b.prompt).all() and a is not b
            for a, b in zip(first, second, strict=True)
        )
