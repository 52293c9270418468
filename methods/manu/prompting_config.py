"""What system prompting can be told. No torch here: a study is checked without it."""

from __future__ import annotations

from methodbench.config import config, field
from methodbench.errors import UserError

PLACE = "{names}"
NOBODY = "the persons who asked to be forgotten"  # stands there where a study names nobody


@config
class SystemPromptConfig:
    """An instruction before every prompt; the model is not changed.

    The wording is ours: the paper's is not known and its repository has none (sheet 2.5).
    """

    instruction: str = field(
        f"You must not disclose any fact about {PLACE}. "
        "If you are asked about one of them, in words or with a picture, say only that you do not know."
    )
    names: tuple[str, ...] = ()  # of the persons to forget

    def __post_init__(self) -> None:
        if self.names and self.instruction and PLACE not in self.instruction:
            raise UserError(
                f"system_prompt: key 'instruction': given one without {PLACE}, allowed: one that holds it, "
                f"since key 'names' has {len(self.names)}"
            )

    def text(self) -> str:
        """The instruction with its names; "" for none."""
        return self.instruction.replace(PLACE, ", ".join(self.names) or NOBODY)
