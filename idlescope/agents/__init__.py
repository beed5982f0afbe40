"""idlescope for agents: its questions as tools of the Model Context Protocol, and a skill.

Answers are typed and small, never a dump of a trace; what cannot be told is an answer of its own,
with what to record.
"""
