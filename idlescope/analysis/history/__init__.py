"""The figures of one recording per commit, in a file that grows, and what they creep to."""
