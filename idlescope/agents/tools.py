"""The tools: a question, what answers it, the answer's type, and what agents are told of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from idlescope.agents import answers, of_changes, of_trace, questions
from idlescope.agents.bounded import refusal
from idlescope.agents.memory import Memory
from idlescope.agents.roots import Roots
from idlescope.errors import ConfigError, TraceError


class Tool(NamedTuple):
    """One tool."""

    name: str
    question: type[Struct]
    answer: Callable[[Memory, Roots, Any], Struct]
    answered: type[Struct]
    says: str  # what agents are told of it

    def input_schema(self) -> dict[str, Any]:
        """Return the JSON schema of its arguments."""
        return object_schema(self.question)

    def output_schema(self) -> dict[str, Any]:
        """Return the JSON schema of its answers."""
        return object_schema(self.answered)


TOOLS = (
    Tool(
        name="analyze",
        question=questions.AnalyzeQuestion,
        answer=of_trace.analyze,
        answered=answers.AnalyzeAnswer,
        says="How idle each GPU of a trace was and why: verdict, idle with its causes, what the "
        "host did, and what asynchronous batching would give. Ask this first.",
    ),
    Tool(
        name="gaps",
        question=questions.GapsQuestion,
        answer=of_trace.gaps,
        answered=answers.GapsAnswer,
        says="The longest gaps of one device: when, why, and what stood on the launching thread's "
        "stack.",
    ),
    Tool(
        name="steps",
        question=questions.StepsQuestion,
        answer=of_trace.steps,
        answered=answers.StepsAnswer,
        says="The steps of one device: means by kind (prefill, decode), and the worst steps.",
    ),
    Tool(
        name="predict",
        question=questions.PredictQuestion,
        answer=of_changes.predict,
        answered=answers.PredictAnswer,
        says="What asynchronous batching, CUDA graphs, pinned copies, a faster host or GPU would "
        "give, before it is built.",
    ),
    Tool(
        name="compare",
        question=questions.CompareQuestion,
        answer=of_changes.compare,
        answered=answers.CompareAnswer,
        says="What changed from one recording (or several) to another, part by part, and whether "
        "it is more than noise.",
    ),
    Tool(
        name="check",
        question=questions.CheckQuestion,
        answer=of_changes.check,
        answered=answers.CheckAnswer,
        says='Whether a trace keeps to limits such as max_idle "5%" or max_idle_ms_per_step "0.3".',
    ),
    Tool(
        name="explain",
        question=questions.ExplainQuestion,
        answer=of_changes.explain,
        answered=answers.ExplainAnswer,
        says="What a verdict, a cause or a term means, how it is measured, what usually causes it, "
        "and what to do.",
    ),
)
BY_NAME = {tool.name: tool for tool in TOOLS}


def answer(memory: Memory, roots: Roots, name: str, arguments: dict[str, Any]) -> Struct:
    """Return the typed answer to a question; what the trace does not tell is an answer, too.

    Raises ConfigError for a tool that there is not, and for arguments that cannot be.
    """
    if name not in BY_NAME:
        raise ConfigError(f"there is no such tool: there are {', '.join(BY_NAME)}")
    tool = BY_NAME[name]
    try:
        question = msgspec.convert(arguments, tool.question)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # half a character
        raise ConfigError(f"{name}: {error}") from error
    try:
        return tool.answer(memory, roots, question)
    except TraceError as error:
        return not_told(tool.answered, str(error))


def not_told(answered: type[Struct], why: str) -> Struct:
    """Return the answer of a type that says nothing but why it cannot."""
    values: dict[str, Any] = {
        field.name: _NOTHING[_outermost(field.type)]
        for field in msgspec.structs.fields(answered)
    }
    values["cannot_tell"] = refusal(why)
    return answered(**values)


_NOTHING: dict[Any, Any] = {
    str: "",
    int: 0,
    float: 0.0,
    bool: False,
    list: [],
    dict: {},
    None: None,
}


def _outermost(annotation: Any) -> Any:
    """Return the kind of value that a field holds: None where that may be left out."""
    described = msgspec.inspect.type_info(annotation)
    kinds = {
        msgspec.inspect.StrType: str,
        msgspec.inspect.IntType: int,
        msgspec.inspect.FloatType: float,
        msgspec.inspect.BoolType: bool,
        msgspec.inspect.ListType: list,
        msgspec.inspect.DictType: dict,
    }
    return kinds.get(type(described))


def object_schema(struct: type[Struct]) -> dict[str, Any]:
    """Return the JSON schema of a struct as the protocol wants it: an object at the root."""
    _, definitions = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    root = dict(definitions.pop(struct.__name__))
    return {**root, "$defs": definitions} if definitions else root
