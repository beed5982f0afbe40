"""How long `idlescope mcp` takes to answer: the first question on a trace, and further ones.

python tests/benchmarks/agents.py TRACE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from idlescope.agents.memory import Memory
from idlescope.agents.roots import Roots
from idlescope.agents.tools import answer

path = Path(sys.argv[1]).resolve()
memory, roots = Memory(), Roots([path])
one, both = {"trace": str(path)}, {"base": [str(path)], "other": [str(path)]}
for name, arguments in (
    ("analyze", one),
    ("analyze", one),
    ("gaps", {**one, "most": 30}),
    ("steps", {**one, "most": 50}),
    ("predict", {**one, "graphs": True}),
    ("compare", both),
    ("check", {**one, "max_regression": "2%", "against": [str(path)]}),
    ("explain", {"word": "host"}),
):
    began, worked = time.perf_counter(), time.process_time()
    answer(memory, roots, name, arguments)
    took, work = time.perf_counter() - began, time.process_time() - worked
    print(f"{name:8} {took:7.3f} s, {work:7.3f} s of work")
    memory.prepare()  # as the server does between questions
