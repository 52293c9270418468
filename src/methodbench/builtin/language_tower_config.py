"""Settings and traits of `take_language_model` and `put_language_model`; here reading a study imports no torch."""

from __future__ import annotations

from methodbench.architectures import EITHER, is_image_text
from methodbench.config import config
from methodbench.errors import UserError
from methodbench.method import Traits


@config
class LanguageTowerConfig:
    """None: parents say all there is to say."""


def take_traits(settings: LanguageTowerConfig, parents: tuple[Traits, ...]) -> Traits:
    """The parent's tokens; of which type the language model in it is, only its files say.

    Raises:
        UserError: the parent is surely no image-text model.
    """
    (parent,) = parents
    _reads_pictures("take_language_model", "parent", parent.architecture)
    return Traits(tokens=parent.tokens)


def put_traits(settings: LanguageTowerConfig, parents: tuple[Traits, ...]) -> Traits:
    """Architecture and tokens of the second parent; what it carries beside its weights was of another language model.

    Raises:
        UserError: the first parent surely is an image-text model, or the second surely is none.
    """
    language, pictures = parents
    if language.architecture is not None and is_image_text(language.architecture):
        raise UserError(
            f"put_language_model: its first parent is of the type '{language.architecture}', "
            "allowed: a language model; put take_language_model between"
        )
    _reads_pictures("put_language_model", "second parent", pictures.architecture)
    return Traits(architecture=pictures.architecture, tokens=pictures.tokens)


def _reads_pictures(method: str, which: str, model_type: str | None) -> None:
    if model_type is None or model_type in EITHER or is_image_text(model_type):
        return
    raise UserError(f"{method}: its {which} is of the type '{model_type}', allowed: an image-text model, such as llava")
