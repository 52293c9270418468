"""Which model types read pictures beside text, known without importing a model library.

The names are transformers' `model_type`, as of version 5.23; a test compares them with its own tables.
"""

from __future__ import annotations

_ONLY = """
    aria aya_vision blip blip-2 chameleon cohere2_vision cohere_compass cosmos3_edge cosmos3_omni deepseek_ocr2
    deepseek_vl deepseek_vl_hybrid diffusion_gemma ernie4_5_vl_moe evolla exaone4_5 fast_vlm florence2 glm46v
    glm4v glm4v_moe glm5_next glm_ocr glmga granite4_vision granite_docling hunyuan_vl hyperclovax_vision_v2
    idefics idefics2 idefics3 inkling2 inkling_mm_model instructblip instructblipvideo internvl janus kimi_k25
    kosmos-2 kosmos-2.5 lfm2_vl lfm3_vl lighton_ocr llava llava_next llava_next_video llava_onevision
    minicpm_ocr minicpmv4_6 minicpmv4_7 minimax_m3_vl mistral3 mistral4 mistral_large4 molmo2 muse_glimmer
    muse_spark nemotron_h_omni ovis2 paddleocr_vl paligemma perception_lm pi0 pix2struct pp_chart2table
    pp_formulanet qianfan_ocr qwen2_5_omni_thinker qwen2_5_vl qwen2_vl qwen3_omni_moe_thinker qwen3_vl
    qwen3_vl_moe shieldgemma2 smolvlm step3p7 t5gemma2 udop unlimited_ocr video_llama_3 video_llava vipllava
    vision-encoder-decoder
"""
_EITHER = """
    dots3_note emu3 fuyu gemma3 gemma3n gemma4 gemma4_unified git got_ocr2 llama4 mllama qwen3_5 qwen3_5_moe
    qwen4_exp
"""
IMAGE_TEXT = frozenset(_ONLY.split())  # nothing but image-text models
EITHER = frozenset(_EITHER.split())  # a text model or an image-text model; which one a checkpoint is, its files say


def is_image_text(model_type: str) -> bool:
    """Is a checkpoint of this `model_type` surely an image-text model?"""
    return model_type in IMAGE_TEXT


def misfit(model_type: str | None, pictures: bool) -> str | None:
    """Why a runtime that shows pictures, or one that does not, cannot run a checkpoint; None where it may."""
    if model_type is None or model_type in EITHER or is_image_text(model_type) == pictures:
        return None
    if pictures:
        return f"it shows pictures beside text, which '{model_type}' does not read"
    return f"it decodes text only, and '{model_type}' is an image-text model: use the runtime 'multimodal'"
