"""A checkpoint's tokenizer turns text into tokens and back; a damaged one is named."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("tokenizers")

from idlescope.engine.network.tokenizer import tokenizer
from idlescope.errors import ConfigError


class TestTokenizer:
    @pytest.fixture
    def folder(self, tmp_path):
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

        words = {"<s>": 0, "hello": 2, "world": 3}
        made = Tokenizer(models.WordLevel(words))
        made.add_special_tokens(["<s>"])
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        made.decoder = decoders.Fuse()
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
        made.save(str(tmp_path / "tokenizer.json"))
        return tmp_path

    def test_text_becomes_tokens_and_text_again(self, folder):
        made = tokenizer(folder)
        assert made.encode("hello world") == [0, 2, 3]
        assert made.decode([0, 2, 3]) == "helloworld"

    def test_none_without_the_file_or_the_library(
        self, folder, tmp_path_factory, monkeypatch
    ):
        assert tokenizer(tmp_path_factory.mktemp("empty")) is None
        monkeypatch.setitem(sys.modules, "tokenizers", None)
        assert tokenizer(folder) is None

    def test_a_damaged_file_is_named(self, folder):
        (folder / "tokenizer.json").write_text("{")
        with pytest.raises(
            ConfigError,
            match=r"tokenizer\.json is damaged \(.+\): download it again, or remove it",
        ):
            tokenizer(folder)
