"""YAML values -> frozen, checked dataclasses; every mistake becomes one `UserError` sentence.

A config class is written as

    @config
    class SwitchConfig:
        window: int = field(512, ge=1)   # Table 3

and is an ordinary frozen keyword-only dataclass afterwards; types and ranges are checked by pydantic.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform, get_args, get_type_hints

import pydantic
import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from methodbench.errors import UserError, nearest

T = TypeVar("T")
field = Field


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def config(cls: type[T]) -> type[T]:
    """Make `cls` a frozen keyword-only dataclass whose fields are checked and whose unknown keys are refused."""
    wrap = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
    return wrap(cls)  # type: ignore[return-value]


def parse(cls: type[T], values: object, where: str) -> T:
    """Check `values` (plain YAML) against `cls`; `where` names the file and the key in the error."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: expected keys and values, given {values!r}")
    try:
        # JSON mode is strict about types (no "3" for 3) yet takes a YAML list where a tuple is declared.
        return TypeAdapter(cls).validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise UserError(_sentence(cls, error, where)) from None


def _sentence(cls: type[Any], error: ValidationError, where: str) -> str:
    unknown = ("unexpected_keyword_argument", "extra_forbidden")
    # An unknown key first: it is often the misspelt form of the one that is missing.
    first = min(error.errors(include_url=False), key=lambda mistake: mistake["type"] not in unknown)
    key = ".".join(str(part) for part in first["loc"]) or "value"
    if first["type"] in unknown:
        return f"{where}: unknown key '{key}'; {nearest(str(first['loc'][-1]), _keys(cls, first['loc'][:-1]))}"
    if first["type"] == "missing":
        return f"{where}: missing key '{key}'"
    return f"{where}: key '{key}': given {first['input']!r}, {first['msg'][0].lower()}{first['msg'][1:]}"


def _keys(declared: Any, path: tuple[int | str, ...]) -> list[str]:
    """The keys allowed at `path` inside the config class `declared`."""
    for step in path:
        if dataclasses.is_dataclass(declared):
            hints = get_type_hints(declared)
            named = {_alias(field): hints[field.name] for field in dataclasses.fields(declared)}
            declared = named.get(str(step))
        else:  # into a dict's values, a tuple's items, or the X of "X | None"
            parts = [part for part in get_args(declared) if part not in (Ellipsis, type(None))]
            declared = parts[-1] if parts else None
    return [_alias(field) for field in dataclasses.fields(declared)] if dataclasses.is_dataclass(declared) else []


def _alias(declared: dataclasses.Field[Any]) -> str:
    return getattr(declared.default, "alias", None) or declared.name


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: the file is missing, is not YAML, repeats a key, or holds something else than a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        values = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected keys and values at the top level")
    return values


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the one in C where it was built
    """A safe loader that refuses a repeated key, and reads on, off, yes and no as the words they are (YAML 1.2)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # "<<: *anchor": the keys written out win over the anchor's
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice", key_node.start_mark)
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_BOOLEAN = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOLEAN]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOLEAN, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
