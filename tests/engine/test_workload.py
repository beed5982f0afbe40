"""What is asked of the engine: drawn lengths and arrivals, and workload files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlescope.engine.workload import Arrivals, Lengths, Workload, arrivals, generate, lengths
from idlescope.engine.workload_file import read
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
            ["1", "40", "uniform:1,400", "uniform:20,99", "lognormal:30,3", "lognormal:1,0.1"]
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
        assert drawn(arrival="burst", count=17).arrival_ns.tolist() == [0] * 8 + [10**9] * 8 + [
            2 * 10**9
        ]

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
            (a.prompt == b.prompt).all() and a is not b for a, b in zip(first, second, strict=True)
        )


def conversation(*turns):
    return {"id": "x", "conversations": [{"from": who, "value": text} for who, text in turns]}


class TestFile:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "w.jsonl"

        def write(*items, array=False):
            text = (
                json.dumps(items, indent=1)
                if array
                else "\n\n".join(json.dumps(i) for i in items) + "\n"
            )
            path.write_text(text, encoding="utf-8")
            return path

        return write

    def test_lengths_under_the_names_of_serving_benchmarks(self, file):
        path = file(
            {"prompt_tokens": 512, "output_tokens": 128},
            {"prompt_len": 3, "output_len": 4, "more": "is ignored"},
            {"input_len": 5, "output_len": 6},
            {"input_length": 7, "output_length": 8, "hash_ids": [0]},
        )
        workload = read(path, None, CLOSED, POSITIONS, 0)
        assert workload.prompt_tokens.tolist() == [512, 3, 5, 7]
        assert workload.output_tokens.tolist() == [128, 4, 6, 8]
        assert not workload.open
        assert workload.notes == ()

    def test_arrivals_count_from_the_earliest(self, file):
        path = file(*({"prompt_len": 1, "output_len": 1, "arrival_s": s} for s in (10.5, 10, 12)))
        assert read(path, None, CLOSED, POSITIONS, 0).arrival_ns.tolist() == [
            500_000_000,
            0,
            2_000_000_000,
        ]
        path = file(*({"prompt_len": 1, "output_len": 1, "timestamp": ms} for ms in (0, 27, 3000)))
        assert read(path, None, CLOSED, POSITIONS, 0).arrival_ns.tolist() == [
            0,
            27_000_000,
            3_000_000_000,
        ]
        with pytest.raises(
            ConfigError, match=r"w\.jsonl says when its requests arrive: leave --arrival out"
        ):
            read(path, None, arrivals("poisson:1", 8), POSITIONS, 0)

    def test_a_file_without_arrivals_takes_those_asked_for(self, file):
        path = file(*[{"prompt_len": 1, "output_len": 1}] * 50)
        expected = drawn(arrival="poisson:5", count=50, seed=4).arrival_ns
        assert (
            read(path, None, arrivals("poisson:5", 8), POSITIONS, 4).arrival_ns == expected
        ).all()

    def test_the_first_so_many_are_taken_and_none_is_repeated(self, file):
        path = file(
            *({"prompt_len": n, "output_len": 1} for n in (1, 2, 3)), {"bad": "but never reached"}
        )
        assert read(path, 2, CLOSED, POSITIONS, 0).prompt_tokens.tolist() == [1, 2]
        assert read(path, 3, CLOSED, POSITIONS, 0).prompt_tokens.tolist() == [1, 2, 3]
        path = file({"prompt_len": 1, "output_len": 1})
        workload = read(path, 5, CLOSED, POSITIONS, 0)
        assert (len(workload), workload.notes) == (
            1,
            (f"{path} holds 1 requests, not 5: each is run once",),
        )

    @pytest.mark.parametrize("array", [False, True])
    def test_conversations_in_sharegpts_format(self, file, array):
        path = file(
            conversation(("human", "12345678"), ("gpt", "123"), ("human", "no more")),
            conversation(("gpt", "an answer to nothing")),
            conversation(("system", "be brief"), ("user", "12345"), ("assistant", "12345")),
            conversation(("human", "?"), ("gpt", "")),
            conversation(),
            array=array,
        )
        workload = read(path, None, CLOSED, POSITIONS, 0)
        assert (workload.prompt_tokens.tolist(), workload.output_tokens.tolist()) == (
            [2, 2],
            [1, 2],
        )
        estimated, left_out = workload.notes
        assert "4 characters a token" in estimated
        assert left_out.endswith("left out: 3")
        counted = read(path, 1, CLOSED, POSITIONS, 0, token_ids=lambda text: [ord(c) for c in text])
        assert (counted.prompt_tokens.tolist(), counted.output_tokens.tolist(), counted.notes) == (
            [8],
            [3],
            (),
        )

    @pytest.mark.parametrize(
        ("item", "reason"),
        [
            ({"prompt_tokens": 5}, 'line 3 has no "output_tokens" (or output_len, output_length)'),
            ({"text": "hello"}, 'line 3 has no "prompt_tokens"'),
            (
                {"prompt_tokens": 0, "output_tokens": 5},
                'line 3: "prompt_tokens" is no whole number of at least 1',
            ),
            ({"prompt_len": True, "output_len": 5}, 'line 3: "prompt_len" is no whole number'),
            ({"prompt_len": 1.5, "output_len": 5}, 'line 3: "prompt_len" is no whole number'),
            ({"prompt_len": 10**40, "output_len": 5}, "line 3: "),
            ({"prompt_len": 16384, "output_len": 1}, "exceed the model's 16384 positions"),
            (
                {"prompt_len": 1, "output_len": 1, "arrival_s": "now"},
                'line 3: "arrival_s" is no number of seconds',
            ),
            (
                {"prompt_len": 1, "output_len": 1, "timestamp": -1},
                '"timestamp" is no number of milliseconds',
            ),
            (
                {"prompt_len": 1, "output_len": 1, "arrival_s": 1},
                "line 3: either every request says when it arrives",
            ),
            ({"conversations": "hello"}, 'line 3: "conversations" is no list of'),
            ({"conversations": [{"from": "human"}]}, 'line 3: "conversations" is no list of'),
            ([1], "line 3 is no JSON object"),
        ],
    )
    def test_a_bad_line_is_one_sentence_that_names_it(self, file, item, reason):
        path = file({"prompt_len": 1, "output_len": 1}, item)
        with pytest.raises(ConfigError) as error:
            read(path, None, CLOSED, POSITIONS, 0)
        assert str(error.value).startswith(f"{path}, line 3")
        assert reason in str(error.value)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "holds no requests"),
            (b"[]", "holds no requests"),
            (b'{"prompt_len": 1,\n', "line 1 is not JSON"),
            (b'\n{"conversations": [{"from": "\xff", "value": ""}]}\n', "line 2 is not JSON"),
            (b"[" * 100_000, "is not JSON"),
            (b' [{"prompt_len": 1, "output_len": 1}, 7]', "entry 2 is no JSON object"),
        ],
    )
    def test_a_bad_file_is_one_sentence(self, tmp_path, content, reason):
        (tmp_path / "w").write_bytes(content)
        with pytest.raises(ConfigError) as error:
            read(tmp_path / "w", None, CLOSED, POSITIONS, 0)
        assert reason in str(error.value)

    def test_a_file_that_is_not_there_or_is_a_folder(self, tmp_path):
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(ConfigError, match="cannot be read"):
                read(path, None, CLOSED, POSITIONS, 0)
