"""What the Snakefile asks of the graph: inputs, identities and resources of its rules, as plain methods.

Mistakes of the user end Snakemake here, while the graph is read: one sentence, exit 2, no traceback, no job started.
"""

from __future__ import annotations

import html
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from methodbench.config import config, parse
from methodbench.errors import UserError
from methodbench.graph import Graph
from methodbench.nodes import CheckpointNode, EvaluateNode, StudyGraph, digest


@config
class RunConfig:
    """config/config.yaml: which studies, at which scale."""

    scale: str = "mini"
    studies: str | tuple[str, ...] = "all"


class Shown(NamedTuple):
    """A file of `snakemake --report`."""

    path: str
    category: str  # the menu's entry that it stands under: a study
    label: str  # its line there


class Workflow:
    """The graph of one Snakemake run."""

    def __init__(self, root: str | Path, values: Mapping[str, Any]) -> None:
        self.root = Path(root)
        try:
            settings = parse(RunConfig, values, "config/config.yaml")
            self.graph = Graph(self.root, settings.scale)
            every = settings.studies == "all"
            names = self.graph.study_names() if every else settings.studies
            names = [names] if isinstance(names, str) else list(names)
            self.studies = [self.graph.study(name, "config/config.yaml: key 'studies'") for name in names]
            if every:
                self.studies = [study for study in self.studies if not study.study.optional]
                # The one with the fewest scores first, so that there is soon one to read.
                self.studies.sort(key=lambda study: sum(len(node.pairs) for node in study.evaluations))
        except UserError as error:
            self._refuse(error)

    @staticmethod
    def _refuse(error: UserError) -> None:
        # Snakemake would turn any exception into a traceback and exit code 1.
        print(f"methodbench: {error}", file=sys.stderr, flush=True)
        os._exit(2)

    @property
    def names(self) -> list[str]:
        """The studies that are asked for, in the order in which they are made."""
        return [study.study.study for study in self.studies]

    def everything(self) -> list[str]:
        """The targets of `all`: the list of reports, which wants every report, and what the reports are made of.

        The latter because reports may come with a clone: Snakemake makes nothing that only leads to a file it has.
        """
        made = [f"results/{self.graph.scale}/{name}/tracked.json" for name in self.names]
        return [f"reports/{self.graph.scale}/index.md", *made]

    def reports(self, wildcards: Any = None) -> list[str]:
        return [f"reports/{self.graph.scale}/{name}.md" for name in self.names]

    def shown(self) -> list[Shown]:
        """What `snakemake --report` shows of each study: its report, and the very figures on that page.

        Only what is there when the graph is read. The page says which figures are its own, for its folder may also hold
        one that an older version of the study drew.
        """
        folder = Path("reports") / self.graph.scale
        found = [Shown(str(folder / "index.md"), "All reports", "List of reports (Markdown)")]
        for name in self.names:
            page = folder / f"{name}.md"
            text = page.read_text(encoding="utf-8") if page.is_file() else ""
            found.append(Shown(str(page), name, "Report (Markdown)"))
            titles = {place: title for title, place in re.findall(rf"!\[(.*?)\]\(({name}/[^()\s]+\.svg)\)", text)}
            told = list(titles.values())
            for place, title in titles.items():
                # Of two lines that say the same, Snakemake's page shows the last.
                label = title if told.count(title) == 1 else f"{title} ({Path(place).stem})"
                found.append(Shown(str(folder / place), name, _unbraced(html.unescape(label))))
        return [one for one in found if Path(one.path).is_file()]

    def results_of(self, wildcards: Any) -> list[str]:
        """All that a study makes: what `track` and `report` wait for."""
        study = self._study(wildcards)
        places = [node.path for node in study.datasets.values()]
        places += [node.path for node in study.checkpoints]
        places += [node.path for node in study.evaluations]
        return [str(place) for place in places]

    def study_identity(self, wildcards: Any) -> str:
        """Changes with anything a report shows: the study's words as well as its results."""
        study = self._study(wildcards)
        return digest(
            [repr(study.study), [n.identity for n in study.checkpoints], [n.identity for n in study.evaluations]]
        )

    def priority(self, wildcards: Any) -> int:
        """Studies one after the other, so that the first report comes early and not with all others."""
        return len(self.names) - self.names.index(wildcards.study) if wildcards.study in self.names else 0

    def dataset_identity(self, wildcards: Any) -> str:
        return self.graph.dataset(wildcards.study, wildcards.dataset).identity

    def checkpoint_identity(self, wildcards: Any) -> str:
        return self._checkpoint(wildcards).identity

    def checkpoint_inputs(self, wildcards: Any) -> list[str]:
        node = self._checkpoint(wildcards)
        return [str(parent.path) for parent in node.parents] + [str(data.path) for data, _ in node.data.values()]

    def threads(self, wildcards: Any) -> int:
        return self._checkpoint(wildcards).method.resources.threads

    def gpu(self, wildcards: Any) -> int:
        return self._checkpoint(wildcards).method.resources.gpu

    def mem_mb(self, wildcards: Any) -> int:
        return self._checkpoint(wildcards).method.resources.mem_mb

    def score_identity(self, wildcards: Any) -> str:
        return self._evaluation(wildcards).identity

    def score_inputs(self, wildcards: Any) -> list[str]:
        node = self._evaluation(wildcards)
        return [str(node.checkpoint.path), *(str(data.path) for data in node.datasets)]

    def score_gpu(self, wildcards: Any) -> int:
        return max(pair.method.resources.gpu for pair in self._evaluation(wildcards).pairs)

    def _study(self, wildcards: Any) -> StudyGraph:
        return self.graph.study(wildcards.study)

    def _checkpoint(self, wildcards: Any) -> CheckpointNode:
        return self.graph.built(wildcards.study, wildcards.build, wildcards.checkpoint)

    def _evaluation(self, wildcards: Any) -> EvaluateNode:
        return self.graph.evaluation(wildcards.study, wildcards.seed, wildcards.checkpoint, wildcards.job)


def _unbraced(text: str) -> str:
    """A label that Snakemake does not take for a pattern with wildcards: an invisible space follows each brace."""
    return text.replace("{", "{\u200b")


def farewell(scale: str) -> str:
    """The last lines of a run: where the results are."""
    from methodbench.track import default_uri, shown

    return (
        f"\nReports:    {Path('reports') / scale / 'index.md'}\n"
        f"MLflow UI:  mlflow ui --backend-store-uri {shown(default_uri(Path()))}\n"
        f"Check:      methodbench verify --scale {scale} --study STUDY (report = samples = MLflow)\n"
    )
