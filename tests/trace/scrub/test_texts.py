"""Paths in texts are cut to what is the same everywhere; different names stay different."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.texts import Texts
from tests.make.secrets import HOME


class TestPaths:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (f"{HOME}/x.py(12): forward", "x.py(12): forward"),
            (
                "/opt/venv/lib/python3.12/site-packages/torch/nn/module.py(3): f",
                "torch/nn/module.py(3): f",
            ),
            ("/usr/lib/python3/dist-packages/yaml/a.py(1): f", "yaml/a.py(1): f"),
            ("/usr/lib/python3.11/threading.py(982): run", "threading.py(982): run"),
            ("C:\\Users\\zoltan\\My Project (2)\\x.py(1): f", "x.py(1): f"),
            ("\\\\hostname17\\share\\x.cu", "x.cu"),
            ("zoltan@hostname17:/data/x.py", "x.py"),
            ("/home/zoltan", "…"),
            ("cwd=/home/zoltan/", "cwd=…"),
            ("~zoltan/x.py ../zoltan/y.py", "y.py"),  # as if "x.py .." were a folder
            ("/home/zoltan smith/x.py(1): f", "x.py(1): f"),
            ("open('/home/zoltan/a b/data.csv')", "open('…')"),
            ("file:///home/zoltan/x.py", "file:x.py"),
            (
                f"a.py(1): f;{HOME}/b.py(2): g\n{HOME}/c.py(3): h",
                "a.py(1): f;b.py(2): g\nc.py(3): h",
            ),
            ("torch/nn/modules/module.py(1553): _call_impl", None),
            ("void at::native::elementwise<float, 4>(int, T*) / 2", None),
            ("<built-in method run of PyCapsule object at 0x7f>", None),
            ("Memcpy HtoD (Pinned -> Device)", None),
            ("a\\b", None),
            ("model/layer.0/attn", None),
        ],
    )
    def test_paths_are_cut_to_what_is_the_same_everywhere(self, text, expected):
        assert Texts(Scrubbed()).text(text) == (text if expected is None else expected)

    def test_different_names_stay_different(self):
        names = [
            "/a/x.py(1): f",
            "/b/x.py(1): f",
            "x.py(1): f",
            "/home/me",
            "/home/you",
            "/a/x.py(1): f",
        ]
        texts = Texts(Scrubbed())
        assert [texts.name(n) for n in names] == [
            "x.py(1): f",
            "x.py(1): f (2)",
            "x.py(1): f (3)",
            "…",
            "… (2)",
            "x.py(1): f",
        ]

    @given(st.lists(st.text("/\\ab.py(1): …~", max_size=12)))
    def test_any_names_stay_different(self, names):
        texts = Texts(Scrubbed())
        assert len({texts.name(n) for n in names}) == len(set(names))

    @given(
        st.lists(st.sampled_from(["home", "zoltan", "a b", "x.y"]), min_size=1),
        st.sampled_from(["", "x.py", "d"]),
    )
    def test_no_folder_of_a_path_stays(self, folders, base):
        assert "zoltan" not in Texts(Scrubbed()).text(
            "/" + "/".join([*folders, "zoltan", base])
        )


@pytest.mark.parametrize("name", ["a" * 100_000, "/" + "a" * 100_000, "/a" * 50_000])
def test_long_names_take_little_time(name):
    texts, start = Texts(Scrubbed()), time.monotonic()
    for _ in range(3):
        texts.name(name)
    assert time.monotonic() - start < 1
