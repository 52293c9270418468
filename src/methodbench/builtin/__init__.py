"""Methods every study may use without a folder under methods/: the ground that the others stand on."""

from methodbench.builtin.fetch_config import FetchConfig, fetch_traits
from methodbench.builtin.language_tower_config import LanguageTowerConfig, put_traits, take_traits
from methodbench.builtin.multimodal_config import MultimodalConfig
from methodbench.builtin.multimodal_sft_config import MultimodalSftConfig
from methodbench.builtin.plain_config import PlainConfig
from methodbench.builtin.pretrain_config import PretrainConfig, pretrain_traits
from methodbench.builtin.pretrain_llava_config import PretrainLlavaConfig, pretrain_llava_traits
from methodbench.builtin.pretrain_vision_config import PretrainVisionConfig, pretrain_vision_traits
from methodbench.builtin.reconfigure_config import ReconfigureConfig
from methodbench.builtin.sft_config import SftConfig
from methodbench.merging.config import MergeConfig
from methodbench.merging.traits import merge_traits
from methodbench.method import Method, Resources
from methodbench.reinforcement_config import ReinforceConfig

METHODS = [
    Method(
        name="fetch",
        kind="transform",
        entry="methodbench.builtin.fetch:fetch",
        config=FetchConfig,
        summary="a pretrained model from a hub, a folder or a PyPI wheel, pinned by hash",
        seeded=False,
        role="tool",
        traits=fetch_traits,
    ),
    Method(
        name="pretrain",
        kind="transform",
        entry="methodbench.builtin.pretrain:pretrain",
        config=PretrainConfig,
        summary="a small model from scratch, or a parent trained on, on rows of a benchmark family",
        parents=(0, 1),
        data=("train",),
        role="tool",
        traits=pretrain_traits,
        resources=Resources(threads=1, mem_mb=2500),
    ),
    Method(
        name="pretrain_vision",
        kind="transform",
        entry="methodbench.builtin.pretrain_vision:pretrain_vision",
        config=PretrainVisionConfig,
        summary="a small CLIP vision tower from scratch on labelled pictures",
        data=("faces",),
        role="tool",
        traits=pretrain_vision_traits,
        resources=Resources(threads=1, mem_mb=2500),
    ),
    Method(
        name="pretrain_llava",
        kind="transform",
        entry="methodbench.builtin.pretrain_llava:pretrain_llava",
        config=PretrainLlavaConfig,
        summary="a small LLaVA around a vision tower, on rows with and without pictures",
        parents=(1, 1),
        data=("train", "pictures", "vocabulary"),
        role="tool",
        traits=pretrain_llava_traits,
        resources=Resources(threads=1, mem_mb=2500),
    ),
    Method(
        name="multimodal_sft",
        kind="transform",
        entry="methodbench.builtin.multimodal_sft:multimodal_sft",
        config=MultimodalSftConfig,
        summary="supervised fine-tuning of an image-text model on rows with and without pictures",
        parents=(1, 1),
        data=("train", "pictures"),
        role="baseline",
        neutral={"steps": 0},
        resources=Resources(threads=1, mem_mb=2500),
    ),
    Method(
        name="take_language_model",
        kind="transform",
        entry="methodbench.builtin.language_tower:take_language_model",
        config=LanguageTowerConfig,
        summary="the language model inside an image-text model, as a checkpoint of its own",
        parents=(1, 1),
        seeded=False,
        role="tool",
        traits=take_traits,
    ),
    Method(
        name="put_language_model",
        kind="transform",
        entry="methodbench.builtin.language_tower:put_language_model",
        config=LanguageTowerConfig,
        summary="an image-text model, the second parent, with the first as its language model",
        parents=(2, 2),
        seeded=False,
        role="tool",
        traits=put_traits,
    ),
    Method(
        name="reconfigure",
        kind="transform",
        entry="methodbench.builtin.reconfigure:reconfigure",
        config=ReconfigureConfig,
        summary="the same weights, linked, under a config.json in which some keys have other values",
        parents=(1, 1),
        seeded=False,
        role="tool",
        neutral={"values": {}},
    ),
    Method(
        name="merge",
        kind="transform",
        entry="methodbench.builtin.merge:merge",
        config=MergeConfig,
        summary="the weighted average of checkpoints, or one of five other merges; the last parent is the base",
        parents=(2, 16),
        role="baseline",
        # with two parents: all of the first
        neutral={"operator": "linear", "weights": [1.0], "normalize": False, "drop": 0.0, "density": 1.0, "scale": 1.0}
        | {"rescale": "expectation", "trim": "tensor", "ties_normalize": True, "layers": {}, "dtype": ""},
        traits=merge_traits,
        resources=Resources(threads=1, mem_mb=1000),
    ),
    Method(
        name="sft",
        kind="transform",
        entry="methodbench.builtin.sft:sft",
        config=SftConfig,
        summary="supervised fine-tuning on worked solutions",
        parents=(1, 1),
        data=("train",),
        role="baseline",
        neutral={"steps": 0},
        resources=Resources(threads=1, mem_mb=2500),
    ),
    *(
        Method(
            name=algorithm,
            kind="transform",
            entry="methodbench.builtin.reinforce:reinforce",
            config=ReinforceConfig,
            summary=f"reinforcement learning from right and wrong answers: {algorithm.upper()}",
            parents=(1, 1),
            data=("prompts",),
            role="baseline",
            neutral={"steps": 0},
            resources=Resources(threads=1, mem_mb=2500),
            keywords={"algorithm": algorithm},
        )
        for algorithm in ("grpo", "rloo")
    ),
    Method(
        name="plain",
        kind="runtime",
        entry="methodbench.builtin.plain:PlainLM",
        config=PlainConfig,
        summary="ordinary decoding, greedy unless the task or the config says otherwise",
        role="baseline",
        neutral={},
    ),
    Method(
        name="multimodal",
        kind="runtime",
        entry="methodbench.builtin.multimodal:PlainMultimodalLM",
        config=MultimodalConfig,
        summary="ordinary greedy decoding of image-text models",
        role="baseline",
        neutral={},
        pictures=True,
    ),
]
