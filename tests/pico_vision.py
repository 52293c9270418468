"""Image-text models and processors small enough to be made on the spot: pictures of 16x16 pixels, patches of 4x4.

One of each of the four families that differ in how a picture becomes tokens: LLaVA (a fixed number of tokens), Idefics2
(tokens behind a resampler, patches of any size), Idefics3, which SmolVLM also is (tiles), and Qwen2-VL (a number of
tokens that depends on the picture's size, positions in three dimensions).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    Idefics2Config,
    Idefics2ForConditionalGeneration,
    Idefics2ImageProcessorPil,
    Idefics2Processor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen2VLProcessor,
)

from methodbench.processors import without_videos
from tests.pico import CHARACTERS, EOS, PAD, SPECIAL

KINDS = ("llava", "idefics2", "idefics3", "qwen2_vl")
SIDE, PATCH = 16, 4  # pixels
IMAGE_TOKENS = {
    "llava": ["<image>"],
    "idefics2": ["<image>", "<fake_token_around_image>", "<end_of_utterance>"],
    "idefics3": ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"],
    "qwen2_vl": ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"],
}


def tokenizer(kind: str = "llava") -> PreTrainedTokenizerFast:
    """One token a character, the four special ones of pico.py, and those that the family's processor knows."""
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *CHARACTERS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=SPECIAL[PAD],
        eos_token=SPECIAL[EOS],
        additional_special_tokens=[*SPECIAL[2:], *IMAGE_TOKENS[kind]],
        clean_up_tokenization_spaces=False,
    )


def processor(kind: str = "llava", words: PreTrainedTokenizerFast | None = None) -> ProcessorMixin:
    """The family's processor for pictures of 16 pixels a side, on the character tokenizer or the one given."""
    words = words if words is not None else tokenizer(kind)
    if kind == "llava":
        side = {"height": SIDE, "width": SIDE}
        pictures = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=side)
        return LlavaProcessor(
            image_processor=pictures,
            tokenizer=words,
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        )
    if kind == "idefics2":
        resizing = Idefics2ImageProcessorPil(
            size={"shortest_edge": SIDE // 2, "longest_edge": SIDE}, do_image_splitting=False
        )
        return Idefics2Processor(image_processor=resizing, tokenizer=words, image_seq_len=3)
    if kind == "idefics3":
        tiling = Idefics3ImageProcessorPil(
            size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}, do_image_splitting=True
        )
        return Idefics3Processor(image_processor=tiling, tokenizer=words, image_seq_len=4)
    if kind == "qwen2_vl":
        patches = Qwen2VLImageProcessorPil(
            size={"shortest_edge": 8 * 8, "longest_edge": 32 * 32}, patch_size=PATCH, merge_size=2
        )
        return without_videos(Qwen2VLProcessor)(patches, words)
    raise ValueError(kind)


def model(kind: str = "llava", seed: int = 0, words: PreTrainedTokenizerFast | None = None) -> PreTrainedModel:
    """A random model of hidden size 32 whose weights are large enough for tokens and pictures to matter."""
    words = words if words is not None else tokenizer(kind)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _made(kind, words).eval()


def checkpoint(folder: Path, kind: str = "llava", seed: int = 0) -> Path:
    """Model and processor, saved to `folder`."""
    model(kind, seed).save_pretrained(folder)
    processor(kind).save_pretrained(folder)
    return folder


def picture(seed: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """Noise of a seed."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size[1], size[0], 3), dtype=torch.uint8, generator=generator)
    return Image.fromarray(pixels.numpy())


def _made(kind: str, words: PreTrainedTokenizerFast) -> PreTrainedModel:
    ends = {"pad_token_id": words.pad_token_id, "bos_token_id": None, "eos_token_id": words.eos_token_id}
    text: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.4,
        **ends,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": SIDE,
        "patch_size": PATCH,
        "initializer_range": 0.2,
    }
    if kind == "llava":
        return LlavaForConditionalGeneration(
            LlavaConfig(
                vision_config={"model_type": "clip_vision_model", "projection_dim": 32, **vision},
                text_config={"model_type": "llama", **text},
                image_token_index=words.convert_tokens_to_ids("<image>"),
                image_seq_length=(SIDE // PATCH) ** 2,
            )
        )
    if kind == "idefics2":
        resampler = {"hidden_size": 32, "resampler_n_latents": 3, "resampler_depth": 1, "resampler_n_heads": 4}
        return Idefics2ForConditionalGeneration(
            Idefics2Config(
                vision_config=vision,
                perceiver_config={**resampler, "resampler_head_dim": 8, "num_key_value_heads": 2},
                text_config={"model_type": "mistral", **text},
                image_token_id=words.convert_tokens_to_ids("<image>"),
                **ends,
            )
        )
    if kind == "idefics3":
        return Idefics3ForConditionalGeneration(
            Idefics3Config(
                vision_config=vision,
                text_config={"model_type": "llama", **text},
                image_token_id=words.convert_tokens_to_ids("<image>"),
                scale_factor=2,
                **ends,
            )
        )
    if kind == "qwen2_vl":
        ids = words.convert_tokens_to_ids
        return Qwen2VLForConditionalGeneration(
            Qwen2VLConfig(
                vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "patch_size": PATCH}
                | {"mlp_ratio": 2, "initializer_range": 0.2},
                text_config={**text, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}},
                image_token_id=ids("<|image_pad|>"),
                video_token_id=ids("<|video_pad|>"),
                vision_start_token_id=ids("<|vision_start|>"),
                vision_end_token_id=ids("<|vision_end|>"),
            )
        )
    raise ValueError(kind)
