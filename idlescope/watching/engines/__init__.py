"""How engines are watched without a line of theirs changed: their methods are wrapped."""
