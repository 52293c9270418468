"""The training step of one-for-all fine-tuning, and of one subnet by itself.

A micro-batch is run once a shape: forward, loss, backward, next shape, since the supernet's state is read again in the
backward pass where activations are computed twice. Gradients add up over shapes (a sum, as in the official code) and
are averaged over micro-batches.

Shapes and noise are a function of the seed, the step and the micro-batch's place in it: a run that goes on from a
state draws what it would have drawn.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from methodbench.training import WeightedTrainer
from methods.amoeballm.finetune_config import FinetuneConfig, IndividualConfig
from methods.amoeballm.losses import IGNORED, balanced, distilled, next_token, soft_cross_entropy
from methods.amoeballm.sandwich import Shape, sandwich
from methods.amoeballm.subnets import Subnets
from methods.amoeballm.supernet import Supernet

STATE = "model.safetensors"


class Tuner(WeightedTrainer):
    """A Trainer of a supernet; `begin` must be called before training."""

    supernet: Supernet
    subnets: Subnets
    config: FinetuneConfig | IndividualConfig
    seed: int
    where: str
    measured: dict[str, list[Tensor]]
    _place: tuple[int, int]

    def begin(
        self, supernet: Supernet, subnets: Subnets, config: FinetuneConfig | IndividualConfig, seed: int, where: str
    ) -> None:
        """Say what is trained: the selection's subnets, or the one of an `IndividualConfig`."""
        self.supernet, self.subnets, self.config, self.seed, self.where = supernet, subnets, config, seed, where
        self.measured, self._place = {}, (-1, 0)

    def curves(self) -> dict[str, str]:
        """Curves beside the loss."""
        names = [f"gate_{expert}" for expert in range(self.supernet.experts)] if self.supernet.router else []
        if isinstance(self.config, FinetuneConfig):
            names += ["loss_largest", *(["loss_middle"] if self.config.random_shapes else []), "loss_smallest"]
        return {name: name for name in names}

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Gradients of all shapes of a micro-batch; returns the mean of their losses, before balancing."""
        model.train()
        batch = self._prepare_inputs(inputs)
        rng, noise = self._chance()
        config = self.config
        one = isinstance(config, IndividualConfig)
        if isinstance(config, IndividualConfig):
            shapes = [Shape(config.depth or self.subnets.layers, config.width)]
        else:
            shapes = sandwich(self.subnets.depths(), self.supernet.widths, config.random_shapes, rng)
        teaches = config.kd_weight > 0 and (
            config.distill_steps is None or self.state.global_step < config.distill_steps
        )
        batch, mask = self._needed(batch)
        teacher: Tensor | None = None
        if isinstance(config, IndividualConfig) and teaches and config.teacher == "frozen":
            with self.supernet.frozen():
                teacher = self._logits(model, batch)[mask]
        losses: list[Tensor] = []
        for place, shape in enumerate(shapes):
            active = self.subnets.active(shape.depth, self.where)
            gates = self.supernet.set_shape(active, shape.width, torch.randn(self.supernet.experts, generator=noise))
            logits = self._logits(model, batch)
            learns = teacher is not None and (one or place > 0)
            loss = self._loss(logits, batch["labels"], mask, teacher if learns else None)
            losses.append(loss.detach())
            if isinstance(config, FinetuneConfig):
                if place == 0 and teaches:
                    teacher = logits.detach()[mask]
                if place > 0 and config.balance:
                    loss = balanced(loss, losses[0])
            del logits
            self.accelerator.backward(loss / self.current_gradient_accumulation_steps)
            self._note(place, len(shapes), losses[-1], gates)
        return torch.stack(losses).mean() / self.current_gradient_accumulation_steps

    def _chance(self) -> tuple[Random, torch.Generator]:
        step = self.state.global_step
        self._place = (step, self._place[1] + 1 if self._place[0] == step else 0)
        rng = Random(f"shapes {self.seed} {step} {self._place[1]}")
        return rng, torch.Generator().manual_seed(rng.getrandbits(62))

    def _needed(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """The batch with labels from the first place on whose logits are used, and which of these are distilled."""
        labels = batch["labels"]
        learnt = (labels != IGNORED).any(0).nonzero()
        first = 0 if self.config.distill_all_tokens else max(0, int(learnt[0]) - 1)
        mask = distilled(labels, self.config.kd_mask_shift, self.config.distill_all_tokens)
        if self.config.distill_all_tokens:
            mask = mask & (batch["attention_mask"] != 0)  # padding is no token
        return {**batch, "labels": labels[:, first:]}, mask[:, first:]

    def _logits(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        with self.compute_loss_context_manager():
            logits: Tensor = model(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                logits_to_keep=batch["labels"].shape[1],  # of a prompt no logits are needed
            ).logits
        return logits

    def _loss(self, logits: Tensor, labels: Tensor, mask: Tensor, teacher: Tensor | None) -> Tensor:
        if teacher is None:
            return next_token(logits, labels)
        weight = self.config.kd_weight
        soft = soft_cross_entropy(logits[mask], teacher)
        return soft if weight == 1 else weight * soft + (1 - weight) * next_token(logits, labels)

    def _note(self, place: int, shapes: int, loss: Tensor, gates: Tensor) -> None:
        if isinstance(self.config, FinetuneConfig):
            name = "largest" if place == 0 else "smallest" if place == shapes - 1 else "middle"
            self.measured.setdefault(f"loss_{name}", []).append(loss)
        if self.supernet.router is not None:
            for expert, gate in enumerate(gates.detach()):
                self.measured.setdefault(f"gate_{expert}", []).append(gate)

    def floating_point_ops(self, inputs: Any) -> int:
        """None counted: that of a batch depends on the shapes."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Means since the last point of the curves, beside the loss."""
        logs |= {name: float(torch.stack(values).mean()) for name, values in self.measured.items()}
        self.measured.clear()
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """A state holds what is trained; the frozen weights lie in the parent checkpoint."""
        if self.args.should_save:
            folder = Path(output_dir or str(self.args.output_dir))
            folder.mkdir(parents=True, exist_ok=True)
            trained = self.supernet.trained()
            save_file({name: tensor.detach().contiguous() for name, tensor in trained.items()}, folder / STATE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        saved = load_file(Path(resume_from_checkpoint) / STATE)
        trained = self.supernet.trained()
        if saved.keys() != trained.keys():
            raise ValueError(f"{resume_from_checkpoint}: is the state of another training")
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(saved[name])
