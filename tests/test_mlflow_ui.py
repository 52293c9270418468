"""A stranger's walk through MLflow's pages in a real browser: find a study, filter, compare, a curve, a report."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from methodbench.ledger import experiment, score_node
from methodbench.publication import finished_report
from methodbench.record import FinishedNode, Node
from methodbench.track import Tracker, reconcile
from tests.programs import program, served

STUDY = experiment("mini", "pruning")
PATIENCE_S = 60  # a page is two megabytes of scripts; on a busy machine it takes its time
CLAIM = {"id": "C1", "says": "The selected layers matter less", "verdict": "holds", "effect": 0.125}


def scores() -> Iterator[FinishedNode]:
    for arm, value in (("base", 0.75), ("pruned_66", 0.5), ("random_66", 0.25)):
        for seed in (0, 1):
            path = Path(f"results/mini/pruning/seed{seed}/scores/{arm}/plain/language/facts.json")
            node = score_node("mini", "pruning", path, f"{arm}{seed}", "plain", {"window": 64}, seed)
            yield FinishedNode(node, 1000.0, 1060.0, metrics={"language/facts/acc": value + seed / 100})


def trained() -> FinishedNode:
    node = Node(key="seed0/base", name="base · s0", kind="checkpoint", experiment=STUDY, identity="one")
    return FinishedNode(node, 1000.0, 1060.0, curves=[(step, {"loss": 8 / step}) for step in range(1, 33)])


def reported(folder: Path) -> FinishedNode:
    page = folder / "pruning.md"
    page.with_suffix("").mkdir()
    page.write_text("# What pruning keeps\n\n| claim | verdict |\n|---|---|\n| C1 | holds |\n", encoding="utf-8")
    (page.with_suffix("") / "verdicts.json").write_text(json.dumps({"claims": [CLAIM]}), encoding="utf-8")
    return finished_report("mini", "pruning", page, 1060.0, 1061.0)


class Walk:
    """A browser at one server's pages."""

    def __init__(self, browser: Chrome, address: str) -> None:
        self.browser, self.address = browser, address

    def open(self, path: str) -> None:
        self.browser.get("about:blank")  # the address differs after the '#' only, which loads nothing
        self.browser.get(f"{self.address}/#{path}")

    def until(self, met: Callable[[], Any]) -> Any:
        """Wait for what `met` finds, and return it; whatever it raises on a page half drawn means: not yet."""
        try:
            return WebDriverWait(self.browser, PATIENCE_S, ignored_exceptions=[Exception]).until(lambda _: met())
        except TimeoutException:
            raise AssertionError(f"{self.browser.current_url} shows only:\n{self.text()}") from None

    def text(self) -> str:
        return self.browser.find_element(By.TAG_NAME, "body").text

    def says(self, *words: str) -> str:
        """The page's text, once it holds all of `words`."""
        self.until(lambda: all(word in self.text() for word in words))
        return self.text()

    def click(self, selector: str, text: str = "") -> None:
        """Click the first element that is shown and, if given, has exactly this text."""

        def clicked() -> bool:
            found = self.browser.find_elements(By.CSS_SELECTOR, selector)
            (next(one for one in found if one.is_displayed() and text in ("", one.text.strip()))).click()
            return True

        self.until(clicked)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    chromium, driver = program("chromium"), program("chromedriver")
    assert chromium and driver, "chromium and chromedriver are not installed"
    options = ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--no-sandbox",  # chromium refuses to be root otherwise; it sees our own pages alone
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--window-size=1700,1000",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(argument)
    found = Chrome(options=options, service=ChromeService(driver))
    found.set_page_load_timeout(PATIENCE_S)
    yield found
    found.quit()


@pytest.fixture(scope="module")
def store(fresh_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The address of a store that holds the study, and its folder."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copy(fresh_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    summary = reconcile([*scores(), trained(), reported(folder)], uri)
    assert (summary.ok, summary.created) == (True, 8), str(summary)
    return uri, folder


@pytest.fixture(scope="module")
def walk(browser: Chrome, store: tuple[str, Path]) -> Iterator[Walk]:
    with served(*store) as address:
        yield Walk(browser, address)


@pytest.fixture
def runs(store: tuple[str, Path]) -> str:
    """The path of the study's page."""
    return f"/experiments/{Tracker(store[0]).experiment(STUDY)}/runs"


def run(store: tuple[str, Path], key: str) -> str:
    (found,) = Tracker(store[0]).runs(STUDY, key)[key]
    return f"/{found.info.run_id}"


@pytest.mark.browser
def test_a_study_is_found_and_says_where_its_report_is(walk: Walk, runs: str) -> None:
    walk.open("/experiments")
    walk.says(STUDY, "Report: `reports")
    walk.open(f"{runs}?workflowType=machine_learning")
    walk.says("Report: reports/mini/pruning.md", "8 matching runs")


@pytest.mark.browser
def test_runs_are_filtered_by_tags_selected_and_compared(walk: Walk, runs: str) -> None:
    asked = "tags.kind = 'score' and tags.seed = '1'"
    walk.open(f"{runs}?workflowType=machine_learning&searchFilter={quote(asked)}")
    shown = walk.says("3 matching runs", "base · s1", "pruned_66 · s1", "random_66 · s1")
    assert "· s0" not in shown
    asked = "tags.arm = 'pruned_66'"
    walk.open(f"{runs}?workflowType=machine_learning&searchFilter={quote(asked)}")
    walk.says("2 matching runs", "pruned_66 · s0", "pruned_66 · s1")
    for row in ("0", "1"):
        walk.click(f".ag-row[row-index='{row}'] .ag-checkbox-input-wrapper")
    walk.click("button", "Compare")
    shown = walk.says("Comparing 2 Runs", "pruned_66 · s0 · language/facts", "pruned_66 · s1 · language/facts")
    assert re.search(r"language/facts/acc\b", shown)
    assert "0.51" in shown


@pytest.mark.browser
def test_a_curve_is_drawn(walk: Walk, runs: str, store: tuple[str, Path]) -> None:
    walk.open(f"{runs}{run(store, 'seed0/base')}/model-metrics")
    walk.says("base · s0", "loss")
    line = ".scatterlayer path.js-line"
    walk.until(lambda: str(walk.browser.find_element(By.CSS_SELECTOR, line).get_attribute("d")).count(",") > 10)


@pytest.mark.browser
def test_the_report_is_readable_with_its_verdicts(walk: Walk, runs: str, store: tuple[str, Path]) -> None:
    found = run(store, str(store[1] / "pruning.md"))
    walk.open(f"{runs}{found}")
    walk.says("C1 The selected layers matter less: holds", "claim/C1/effect", "0.125")
    walk.open(f"{runs}{found}/artifacts/pruning.md")
    walk.until(lambda: "What pruning keeps" in [e.text for e in walk.browser.find_elements(By.TAG_NAME, "h1")])
    cells = [element.text for element in walk.browser.find_elements(By.CSS_SELECTOR, "[role=cell]")]
    assert cells == ["C1", "holds"], "a table, not its source"
