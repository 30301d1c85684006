# SPDX-License-Identifier: Apache-2.0
"""Who asks whom in one iteration: the teacher first, then the student, then the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import PrepareBatch, SupervisedTrainer
from torch import Tensor, nn

from monai_kd.engines.prepare_batch import TeacherPrepareBatch, prefixed
from monai_kd.utils.distributed import share_buffers

__all__ = ["DistillationTrainer"]


class DistillationTrainer(SupervisedTrainer):
    """MONAI's ``SupervisedTrainer``, with a teacher in the loss.

    Each iteration asks the teacher (full precision, no gradient), then the student, and compares
    them with ``loss_function(student_logits=..., teacher_features=..., **targets)``: whatever the
    networks answer reaches the loss by name. The rest (mixed precision, gradient accumulation,
    events) is inherited as it is. Without a teacher this is plain supervised training.

    Args:
        teacher: frozen network, moved to ``device``; None for training without one.
        loss_function: called by name with the answers and the targets; returns a scalar. If it has
            a property ``needs_teacher``, the teacher rests while that is False. Kept as
            ``self.objective``, so that handlers can read its ``parts``.
        image_key: item of the batch that the student sees.
        teacher_key: item of the batch that the teacher sees.
        target_keys: items of the batch that the loss takes, under the same names.
        prepare_batch: asks the teacher in another way, e.g.
            :class:`~monai_kd.engines.ViewsPrepareBatch`; the three keys are then not used.
        kwargs: those of :class:`monai.engines.SupervisedTrainer`; ``decollate`` is off unless
            asked for, since losses here work on whole batches.
    """

    def __init__(
        self,
        *,
        teacher: nn.Module | None = None,
        loss_function: Callable[..., Tensor],
        image_key: str = "image",
        teacher_key: str = "image",
        target_keys: Sequence[str] = ("label",),
        prepare_batch: PrepareBatch | None = None,
        **kwargs: Any,
    ) -> None:
        def named_loss(answer: Tensor | Mapping[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
            return loss_function(**prefixed("student_", answer), **targets)

        super().__init__(
            loss_function=named_loss,
            prepare_batch=prepare_batch
            or TeacherPrepareBatch(
                teacher,
                image_key=image_key,
                teacher_key=teacher_key,
                target_keys=target_keys,
                is_needed=lambda: bool(getattr(loss_function, "needs_teacher", True)),
            ),
            decollate=kwargs.pop("decollate", False),
            **kwargs,
        )
        self.objective = loss_function
        self.teacher = None if teacher is None else teacher.to(self.state.device)
        self.add_event_handler(Events.ITERATION_COMPLETED, _share_buffers)
        sampler = getattr(self.data_loader, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            self.add_event_handler(Events.EPOCH_STARTED, _set_epoch, sampler)


def _set_epoch(engine: Engine, sampler: Any) -> None:
    sampler.set_epoch(engine.state.epoch)


def _share_buffers(engine: Engine) -> None:
    """Before an epoch's validation: all processes validate the network that one of them saves."""
    if engine.state.iteration % (engine.state.epoch_length or 1) == 0:
        share_buffers(engine.network)
        if engine.teacher is not None:  # its statistics follow those of each process's own films
            share_buffers(engine.teacher)
