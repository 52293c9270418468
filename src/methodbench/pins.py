"""What changed between two lock files: packages added, removed and moved to another version.

A lock holds ``name==version`` a line, as `pip freeze` writes it; comments, options and hashes are passed over. Versions
are ordered by `packaging.version`, not as words: 0.10 comes after 0.9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from methodbench.errors import UserError
from methodbench.wording import count

SIZES = ("major", "minor", "patch")


def read_pins(text: str, where: str) -> dict[str, Version]:
    """Package -> version of a lock's text.

    Raises:
        UserError: a line pins no package to one version, or the same package stands there twice; `where` is the file.
    """
    pins: dict[str, Version] = {}
    for number, line in enumerate(text.splitlines(), 1):
        written = line.split("#")[0].split(" --")[0].strip().rstrip("\\").strip()
        if not written or written.startswith("-"):
            continue
        try:
            requirement = Requirement(written)
            (pin,) = requirement.specifier
            version = Version(pin.version)
        except (InvalidRequirement, InvalidVersion, ValueError):
            raise UserError(f"{where}: line {number}: given '{written[:80]}', must be name==version") from None
        name = canonicalize_name(requirement.name)
        if pin.operator != "==":
            raise UserError(f"{where}: line {number}: given '{written[:80]}', must be name==version")
        if name in pins:
            raise UserError(f"{where}: line {number}: '{name}' stands there twice; keep one version")
        pins[name] = version
    return pins


def pin_changes(before: Mapping[str, Version], after: Mapping[str, Version]) -> Iterator[str]:
    """Lines that tell the changes, grouped, and one that sums them up."""
    shared = [name for name in sorted(before) if name in after and before[name] != after[name]]
    groups = {
        "added": [f"{name} {after[name]}" for name in sorted(after) if name not in before],
        "removed": [f"{name} {before[name]}" for name in sorted(before) if name not in after],
    }
    for size in SIZES:
        groups[size] = [
            f"{name} {before[name]} -> {after[name]}" + (" (older)" if after[name] < before[name] else "")
            for name in shared
            if change_size(before[name], after[name]) == size
        ]
    for title, lines in groups.items():
        if lines:
            yield f"{title} ({len(lines)})"
            yield from (f"  {line}" for line in lines)
    same = sum(name in after and before[name] == after[name] for name in before)
    told = [f"{len(groups[size])} {size}" for size in SIZES if groups[size]]
    yield (
        f"{len(groups['added'])} added, {len(groups['removed'])} removed, {count(len(shared), 'package')} changed"
        f"{' (' + ', '.join(told) + ')' if told else ''}, {same} the same"
    )


def change_size(before: Version, after: Version) -> str:
    """``"major"``, ``"minor"`` or ``"patch"``: the first part of the release that differs; an epoch counts as major."""
    if (before.epoch, before.major) != (after.epoch, after.major):
        return "major"
    return "minor" if before.minor != after.minor else "patch"
