r"""The whole texts in which published questions are asked of models without a chat template of their own.

They are those that the experiments of arXiv 2510.04454 name (its Tables 3, 7 and 13) and of the scripts that they share
with arXiv 2504.14945; special tokens are written out, so a tokenizer of Qwen reads them as its chat template's.

thought        the system prompt that asks for a thought and a solution, in ChatML, the thinking opened
thought_plain  the same words without ChatML, ours: how the paper asked Llama, whose base has no such tokens, is unknown
qwen           Qwen2.5-Math's own system prompt, in ChatML
prime          a conversation of User and Assistant, told in plain text
bare           the question alone

A text that ends in an opened thought is what `opened` tells: only what follows ``</think>`` is then the answer.
"""

from __future__ import annotations

from benchmarks.math.config import Template

OPENING = "<think>\n"
SYSTEM = (
    "Your task is to follow a systematic, thorough reasoning process before providing the final solution. "
    "This involves analyzing, summarizing, exploring, reassessing, and refining your thought process through multiple "
    "iterations. Structure your response into two sections: Thought and Solution. In the Thought section, "
    'present your reasoning using the format: "<think>\n {thoughts} </think>\n". Each thought should include detailed '
    'analysis, brainstorming, verification, and refinement of ideas. After "</think>\n," in the Solution section, '
    "provide the final, logical, and accurate answer, clearly derived from the exploration in the Thought section. "
    "If applicable, include the answer in \\boxed{} for closed-form results like multiple choices or mathematical "
    "solutions."
)
QWEN = "Please reason step by step, and put your final answer within \\boxed{}."
PRIME = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant "
    "first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning "
    "process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., <think> "
    "reasoning process here </think> <answer> answer here </answer>."
)


def render(template: Template, question: str) -> str:
    """The prompt, ready for a tokenizer."""
    if template == "thought":
        return chat(SYSTEM, question) + OPENING
    if template == "thought_plain":
        return f"{SYSTEM}\n\nUser: {question}\n\nAssistant: {OPENING}"
    if template == "qwen":
        return chat(QWEN, question)
    if template == "prime":
        asked = f"{question}\n\nPresent the answer in LaTex format: \\boxed{{Your answer}}"
        return f"{PRIME} User: {asked}. Assistant:"
    return question


def chat(system: str, user: str) -> str:
    """ChatML up to the assistant's first token."""
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"


def opened(prompt: str) -> bool:
    """Does the answer begin inside of a thought?"""
    return prompt.endswith(OPENING)
