"""The generated parts of the documentation: what stands between ``<!-- name -->`` and ``<!-- /name -->`` markers.

README.md has the tables of methods and benchmarks, and quotes reports; config/README.md has every key of a study.
`--check` fails where a file differs from what would be generated, so neither can rot.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from methodbench import study
from methodbench.errors import UserError
from methodbench.graph import Graph
from methodbench.index import quoted
from methodbench.workflow import RunConfig

KEYS = (
    study.Study,
    study.DatasetSpec,
    study.CheckpointSpec,
    study.RuntimeSpec,
    study.Choice,
    study.EvaluateSpec,
    study.CurveSpec,
    study.Claim,
    study.Pair,
    study.Figure,
)

TASKS_SHOWN = 9  # of a family, in its order
QUOTE = re.compile(r"(<!-- quote (\w+/\w+): (.*?) -->\n).*?(<!-- /quote -->)", re.DOTALL)


def write(root: Path, check: bool = False, quotes: bool = True) -> list[str]:
    """Fill the marked parts in place; with `check`, only name the files that would change.

    quotes: also what README.md quotes of the reports as they are now, between ``<!-- quote SCALE/STUDY: CLAIM… -->``
    and ``<!-- /quote -->``. A quote of a report that is not there stays as it is.
    """
    graph = Graph(root, "mini")
    parts = {
        "README.md": {"methods": "\n".join(_methods(graph)), "benchmarks": "\n".join(_benchmarks(graph))},
        "config/README.md": {
            "run": "\n".join(_keys(RunConfig)),
            "study": "\n\n".join("\n".join(_keys(cls)) for cls in KEYS),
            "configs": "\n\n".join(_configs(graph)),
        },
    }
    stale = []
    for name, blocks in parts.items():
        file = root / name
        before = after = file.read_text(encoding="utf-8")
        for marker, text in blocks.items():
            after = _fill(after, marker, text, name)
        if quotes:
            after = QUOTE.sub(lambda found: _quote(root, found), after)
        if after != before:
            stale.append(name)
            if not check:
                file.write_text(after, encoding="utf-8")
    return stale


def _quote(root: Path, found: re.Match[str]) -> str:
    report, names = found[2], found[3].split()
    if not (root / "reports" / f"{report}.md").exists():
        return found[0]
    return f"{found[1]}{quoted(root, report, names)}\n{found[4]}"


def _fill(page: str, marker: str, text: str, name: str) -> str:
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    if not pattern.search(page):
        raise UserError(f"{name}: the markers <!-- {marker} --> and <!-- /{marker} --> are missing")
    return pattern.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page)


def _methods(graph: Graph) -> Iterator[str]:
    yield "| method | kind | role | what it does | paper |"
    yield "|---|---|---|---|---|"
    for method in sorted(graph.methods.values(), key=lambda m: (m.entry.split(".")[0] == "methodbench", m.entry)):
        folder = method.entry.split(":")[0].rpartition(".")[0].replace(".", "/")
        name = f"[`{method.name}`]({folder}/)" if folder.startswith("methods") else f"`{method.name}`"
        yield f"| {name} | {method.kind} | {method.role} | {method.summary} | {method.paper.partition(':')[0]} |"


def _benchmarks(graph: Graph) -> Iterator[str]:
    yield "| family | tasks | what it is |"
    yield "|---|---|---|"
    for family in graph.families.values():
        tasks = ", ".join(f"`{task.name}`" for task in family.tasks[:TASKS_SHOWN])
        tasks += f", … ({len(family.tasks)} in all)" if len(family.tasks) > TASKS_SHOWN else ""
        yield f"| [`{family.name}`](benchmarks/{family.name}/) | {tasks} | {family.summary} |"


def _configs(graph: Graph) -> Iterator[str]:
    for method in graph.methods.values():
        yield "\n".join([f"#### `{method.name}`", "", *_table(method.config)])
    for family in graph.families.values():
        yield "\n".join([f"#### benchmark family `{family.name}`", "", *_table(family.config)])


def _keys(cls: type[Any]) -> Iterator[str]:
    title = (inspect.getdoc(cls) or "").split("\n\n")  # its paragraphs
    yield f"#### {cls.__name__}"
    yield ""
    for paragraph in title:
        yield " ".join(paragraph.split())
        yield ""
    yield from _table(cls)


def _table(cls: Any) -> Iterator[str]:
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    comments = _comments(cls)
    for declared in dataclasses.fields(cls):
        key = getattr(declared.default, "alias", None) or declared.name
        kind = str(declared.type).replace("|", "\\|").replace("typing.", "")
        kind = getattr(declared.type, "__name__", kind) if not isinstance(declared.type, str) else kind
        meaning = comments.get(declared.name, "").replace("|", "\\|")
        yield f"| `{key}` | {kind} | {_default(declared)} | {meaning} |"


def _default(declared: dataclasses.Field[Any]) -> str:
    value = getattr(declared.default, "default", declared.default)
    factory = getattr(declared.default, "default_factory", None)
    if factory is not None:
        value = factory()
    if value is dataclasses.MISSING or "Undefined" in repr(value) or "FieldInfo" in repr(value):
        return "required"
    return f"`{value!r}`".replace("|", "\\|")


def _comments(cls: Any) -> dict[str, str]:
    """The comment at the end of each field's line, also of the classes it extends."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        for line in inspect.getsource(base).splitlines():
            if match := re.match(r"\s+(\w+): .*?  # (.*)$", line):
                found[match[1]] = match[2]
    return found
