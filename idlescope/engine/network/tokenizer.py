"""The tokenizer of a Hugging Face checkpoint. Needs the `tokenizers` library, not torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idlescope.errors import ConfigError


@dataclass(frozen=True)
class Tokenizer:
    """Text to tokens and back, by the `tokenizers` library."""

    library: Any  # tokenizers.Tokenizer

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, with those that the model wants around it."""
        return list(self.library.encode(text).ids)

    def decode(self, ids: list[int]) -> str:
        """Return the text of tokens, special ones left out."""
        return str(self.library.decode(ids))


def tokenizer(folder: Path) -> Tokenizer | None:
    """Return the tokenizer of a checkpoint; None without `tokenizer.json` or `tokenizers`.

    Raises ConfigError for a `tokenizer.json` that the library cannot read.
    """
    tokenizer_path = folder / "tokenizer.json"
    try:
        import tokenizers
    except ImportError:
        return None
    if not os.path.isfile(tokenizer_path):
        return None
    try:
        return Tokenizer(tokenizers.Tokenizer.from_file(str(tokenizer_path)))
    except Exception as error:  # the library raises Exception itself
        raise ConfigError(
            f"{tokenizer_path} is damaged ({error}): download it again, or remove it"
        ) from error
