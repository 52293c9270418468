"""What is taken from lm-eval while data are made: the makers of RULER's texts and the prompts of LongBench.

The only file of the family that knows lm-eval. RULER's makers need the packages that ``lm-eval[ruler]`` names and fetch
essays, questions and a sentence splitter by themselves, at addresses that lm-eval chooses.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import random
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.longcontext.tokens import Tokens
from methodbench.errors import UserError

MAKERS = {  # task -> function of lm_eval.tasks.ruler; the others are called as the task
    "ruler_vt": "get_vt_dataset",
    "ruler_cwe": "get_cw_dataset",
    "ruler_fwe": "fwe_download",
    "ruler_qa_squad": "get_squad",
    "ruler_qa_hotpot": "get_hotpotqa",
}


def make_ruler(name: str, length: int, tokens: Tokens) -> list[dict[str, Any]]:
    """lm-eval's items of one task for texts of `length` tokens: ``{"input", "outputs", "gen_prefix", …}``.

    Raises:
        UserError: a package is missing, or the maker failed, most often because it could not fetch something.
    """
    try:
        from lm_eval.tasks.ruler import cwe_utils, fwe_utils, niah_utils, qa_utils, vt_utils
    except ImportError as error:
        raise UserError(
            f"longcontext: set '{name}': lm-eval's makers lack a package ({first_line(error)}); "
            'install it with: pip install "lm-eval[ruler]"'
        ) from None
    except Exception as error:  # they download while they are imported
        raise failed(name, error) from None
    modules = (cwe_utils, fwe_utils, niah_utils, qa_utils, vt_utils)
    function = MAKERS.get(name, name.removeprefix("ruler_"))
    maker = next(getattr(module, function) for module in modules if hasattr(module, function))
    seed_makers(name, cwe_utils)
    # A folder, because lm-eval can name no revision and would run code that a hub's repository brings along.
    with tempfile.TemporaryDirectory() as folder:
        tokens.tokenizer.save_pretrained(folder)
        try:
            made = maker(max_seq_lengths=[length], tokenizer=folder)
        except Exception as error:  # whatever it fetches can fail in its own way
            raise failed(name, error) from None
    return [dict(item) for item in made["test"]]


def seed_makers(name: str, cwe_utils: Any) -> None:
    """The makers draw from generators of the whole process: give them a state that depends on the task alone."""
    import numpy

    random.seed(f"longcontext {name}")
    numpy.random.seed(random.getrandbits(32))
    cwe_utils.RNG.seed(f"longcontext {name}")


def failed(name: str, error: Exception) -> UserError:
    """The one sentence about whatever a maker raised."""
    return UserError(
        f"longcontext: set '{name}': lm-eval could not make it ({first_line(error)}); allowed offline: 'stand_in: true'"
    )


def first_line(error: Exception) -> str:
    """The first line of what an error says, else its name."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def lm_eval_version() -> str:
    """The version whose makers and prompts are used."""
    return importlib.metadata.version("lm-eval")


def longbench_prompt(task: str) -> str:
    """The template of one LongBench-E task as lm-eval has it, with ``{{context}}`` and ``{{question}}``.

    The scoring functions that the task file names are not loaded: they need packages that nothing here needs.
    """
    file = lm_eval_folder() / "tasks" / "longbench" / f"{task}_e.yaml"
    return str(yaml.load(file.read_text(encoding="utf-8"), Loader=Unresolved)["doc_to_text"])


def lm_eval_folder() -> Path:
    """Where lm-eval is installed, found without importing it and what it draws in."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise UserError("longcontext: lm-eval is not installed")
    return Path(spec.origin).parent


class Unresolved(yaml.SafeLoader):
    """Reads a task file and leaves the functions that it names alone."""


Unresolved.add_constructor("!function", lambda loader, node: None)
