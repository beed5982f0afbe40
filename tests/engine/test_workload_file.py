"""Workload files: lengths or conversations, and what is said of a bad one."""

from __future__ import annotations

import json

import pytest

from idlescope.engine.workload import Arrivals, arrivals
from idlescope.engine.workload_file import read
from idlescope.errors import ConfigError
from tests.engine.test_workload import drawn

POSITIONS = 16384
CLOSED = Arrivals()


def conversation(*turns):
    return {
        "id": "x",
        "conversations": [{"from": who, "value": text} for who, text in turns],
    }


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
        path = file(
            *({"prompt_len": 1, "output_len": 1, "arrival_s": s} for s in (10.5, 10, 12))
        )
        assert read(path, None, CLOSED, POSITIONS, 0).arrival_ns.tolist() == [
            500_000_000,
            0,
            2_000_000_000,
        ]
        path = file(
            *({"prompt_len": 1, "output_len": 1, "timestamp": ms} for ms in (0, 27, 3000))
        )
        assert read(path, None, CLOSED, POSITIONS, 0).arrival_ns.tolist() == [
            0,
            27_000_000,
            3_000_000_000,
        ]
        with pytest.raises(
            ConfigError,
            match=r"w\.jsonl says when its requests arrive: leave --arrival out",
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
            *({"prompt_len": n, "output_len": 1} for n in (1, 2, 3)),
            {"bad": "but never reached"},
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
        counted = read(
            path, 1, CLOSED, POSITIONS, 0, token_ids=lambda text: [ord(c) for c in text]
        )
        assert (
            counted.prompt_tokens.tolist(),
            counted.output_tokens.tolist(),
            counted.notes,
        ) == (
            [8],
            [3],
            (),
        )

    @pytest.mark.parametrize(
        ("item", "reason"),
        [
            (
                {"prompt_tokens": 5},
                'line 3 has no "output_tokens" (or output_len, output_length)',
            ),
            ({"text": "hello"}, 'line 3 has no "prompt_tokens"'),
            (
                {"prompt_tokens": 0, "output_tokens": 5},
                'line 3: "prompt_tokens" is no whole number of at least 1',
            ),
            (
                {"prompt_len": True, "output_len": 5},
                'line 3: "prompt_len" is no whole number',
            ),
            (
                {"prompt_len": 1.5, "output_len": 5},
                'line 3: "prompt_len" is no whole number',
            ),
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
            (
                {"conversations": [{"from": "human"}]},
                'line 3: "conversations" is no list of',
            ),
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
            (
                b'\n{"conversations": [{"from": "\xff", "value": ""}]}\n',
                "line 2 is not JSON",
            ),
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
