"""The options of `run` and `sweep`, made from the fields of RunConfig: each is one field there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, signature
from types import NoneType
from typing import Annotated, Any, Optional, TypeVar, get_args, get_type_hints

import typer

from idlescope.cli.suggestions import OF_OPTION, Suggest, one_of
from idlescope.experiment.config import RunConfig
from idlescope.experiment.option import Described, flag, options_of

Command = TypeVar("Command", bound=Callable[..., None])


def with_options(
    options: Iterable[Parameter],
) -> Callable[[Command], Command]:
    """Put options before those that a command's function names; it takes them as keywords."""

    def decorate(command: Command) -> Command:
        type_hints = get_type_hints(command, include_extras=True)
        named_parameters = [
            parameter.replace(annotation=type_hints[parameter_name])
            for parameter_name, parameter in signature(command).parameters.items()
            if parameter.kind is not Parameter.VAR_KEYWORD
        ]
        parameters = [*options, *named_parameters]
        shown_signature = signature(command).replace(parameters=parameters)
        # both, for versions of typer differ in which they read
        command.__signature__ = shown_signature  # type: ignore[attr-defined]
        command.__annotations__ = {
            option_parameter.name: option_parameter.annotation
            for option_parameter in parameters
        }
        return command

    return decorate


def of_config(
    config: type = RunConfig,
    defaults: Mapping[str, Any] | None = None,
    only: Callable[[Described], bool] = lambda _: True,
) -> list[Parameter]:
    """Return a command's parameter for each option of a configuration, grouped as its help is.

    `defaults` are those that differ from the configuration's; `only` says which options are meant.
    """
    type_hints = get_type_hints(config)
    return [
        _parameter(
            described, type_hints[described.name], (defaults or {}).get(described.name)
        )
        for described in options_of(config)
        if only(described)
    ]


def values(options: Mapping[str, Any], config: type = RunConfig) -> dict[str, Any]:
    """Return options as the configuration has them: text may be a number where it can be one."""
    type_hints = get_type_hints(config)
    return {
        option_name: _number(option_value)
        if len(_kinds(type_hints[option_name])) > 1
        else option_value
        for option_name, option_value in options.items()
    }


def _parameter(described: Described, hint: Any, default: Any) -> Parameter:
    option_name, option = described.name, described.option
    if default is None:
        default = described.default
    value_kinds = _kinds(hint)
    option_kind: Any = value_kinds[0] if len(value_kinds) == 1 else str
    if option_kind is str and default is not None:
        default = str(default)
    option_words = [flag(option_name)]
    if option_kind is bool and default:
        option_words = [f"{flag(option_name)}/{flag(f'no_{option_name}')}"]
    option_info = typer.Option(
        *option_words,
        help=_help(described),
        metavar=option.metavar,
        rich_help_panel=option.group.value,
        autocompletion=_suggestions(described),
        show_default=default is not None,
    )
    shown_kind: Any = Optional[option_kind] if default is None else option_kind  # noqa: UP045
    annotation: Any = Annotated[shown_kind, option_info]
    return Parameter(
        option_name, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation
    )


def _suggestions(described: Described) -> Suggest | None:
    """Return what completion offers as an option's value; None where that is nothing."""
    if described.option.choices:
        return one_of(described.option.choices)
    return OF_OPTION.get(described.name)


def _help(described: Described) -> str:
    bounds = described.option.bounds()
    if bounds is None:
        return described.option.help
    return f"{described.option.help} {bounds[0].upper()}{bounds[1:]}."


def _kinds(hint: Any) -> tuple[Any, ...]:
    """Return what an option may be, besides not given."""
    return tuple(kind for kind in get_args(hint) or (hint,) if kind is not NoneType)


def _number(text: str) -> int | str:
    """Return a number as one; a distribution, or what is neither, stays for RunConfig to read."""
    return int(text) if text.isdecimal() and len(text) < 10 else text
