"""MMEngine's runner with strict and safe loading of checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_torch_safe_globals
from torch import nn

from xdet.compat.checkpoint import load_weights


class XDetRunner(Runner):
    """Runner whose weights come from :func:`xdet.compat.checkpoint.load_weights`.

    MMEngine only logs missing, unexpected and wrongly shaped parameters, and unpickles arbitrary objects when a file
    cannot be read safely. Here the first is an error unless the config lists the names in ``allow_missing`` and
    ``allow_unexpected``, and the second never happens.
    """

    @property
    def bare_model(self) -> nn.Module:
        """The model without the distributed wrapper."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def load_checkpoint(
        self, filename: str, map_location: str | Callable = 'cpu', strict: bool = True, revise_keys: list | None = None
    ) -> dict[str, Any]:
        """Load weights (``load_from``) or, when resuming, a checkpoint of this runner.

        Args:
            filename (str): Path or URL. Weights may be in the official layout of X-Decoder or in ours.
            map_location (str | Callable): Device for a resumed checkpoint.
            strict (bool): Kept for the signature; loading is always strict.
            revise_keys (list, optional): Kept for the signature.

        Returns:
            dict: The whole checkpoint when resuming, else ``{'state_dict': ...}``.

        Raises:
            FileNotFoundError, ValueError: See ``load_weights``; when resuming, the file is not a training checkpoint.
        """
        if self._resume:
            checkpoint = read_training_checkpoint(filename, map_location)
            self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
            _load_strictly(self.bare_model, checkpoint['state_dict'], filename)
        else:
            load_weights(
                self.bare_model,
                filename,
                allow_missing=self.cfg.get('allow_missing', ()),
                allow_unexpected=self.cfg.get('allow_unexpected', ()),
            )
            checkpoint = dict(state_dict=self.bare_model.state_dict())
            self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint


def read_training_checkpoint(filename: str, map_location: str | Callable = 'cpu') -> dict[str, Any]:
    """Read a checkpoint with the state of a training (optimizer, schedules, counters).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read without running code in it, or has no training state.
    """
    try:
        with torch.serialization.safe_globals(get_torch_safe_globals()):
            checkpoint = torch.load(filename, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"checkpoint '{filename}' does not exist") from None
    except Exception as error:  # torch reports damaged files with half a dozen classes
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"checkpoint '{filename}' is damaged or not a checkpoint: {reason}") from error
    if not isinstance(checkpoint, dict) or not {'meta', 'state_dict', 'optimizer'} <= checkpoint.keys():
        raise ValueError(
            f"checkpoint '{filename}' holds no training state, so training cannot be resumed from it; "
            'to start from its weights use --load-from'
        )
    return checkpoint


def _load_strictly(model: nn.Module, state_dict: dict[str, torch.Tensor], filename: str) -> None:
    try:
        model.load_state_dict(state_dict, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
        raise ValueError(f"checkpoint '{filename}' is of another model: {' '.join(lines)[:400]}") from error
