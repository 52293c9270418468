"""System prompting (sheet 2.5): an instruction that forbids to disclose facts, nothing else; the model stays as it is.

Without a chat template the instruction is a line before the prompt (``USER: ...``), after the tokenizer's own beginning
token. With one it is the system message, or stands at the head of a system message that is there already.

A model whose vocabulary lacks the instruction's words, as one trained from scratch in a miniature may, reads them as
unknown tokens: let its training data hold them, or the baseline says nothing.
"""

from __future__ import annotations

from typing import Any

from methodbench.multimodal import MultimodalLM
from methods.manu.prompting_config import SystemPromptConfig


class SystemPromptLM(MultimodalLM):
    """Ordinary decoding and likelihoods behind an instruction."""

    settings: SystemPromptConfig

    def prompt(self, text: str) -> str:
        """The prompt with the instruction before it, unless a chat template wrote it already."""
        instruction = self.settings.text()
        return f"{instruction}\n{text}" if instruction and instruction not in text else text

    def apply_chat_template(self, chat_history: list[dict[str, Any]], add_generation_prompt: bool = True) -> str:
        """The rendered chat, the instruction as its system message."""
        return str(super().apply_chat_template(instructed(chat_history, self.settings.text()), add_generation_prompt))


def instructed(chat: list[dict[str, Any]], instruction: str) -> list[dict[str, Any]]:
    """A chat that begins with the instruction."""
    if not instruction:
        return chat
    if chat and chat[0]["role"] == "system":
        return [{**chat[0], "content": f"{instruction}\n{chat[0]['content']}"}, *chat[1:]]
    return [{"role": "system", "content": instruction}, *chat]
