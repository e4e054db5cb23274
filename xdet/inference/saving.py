"""Saving and sharing whole models: the part of the inferencer that knows folders and the hub (xdet/pretrained.py)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xdet import model_zoo, pretrained
from xdet.compat.checkpoint import save_weights
from xdet.io.reading import expand
from xdet.io.writing import make_folder, write_files

from .loaded import LoadedModel
from .names.calibration import Calibration
from .outputs.provenance import Origin
from .pipeline import inference_transforms

if TYPE_CHECKING:
    from typing_extensions import Self


class SavedModels(LoadedModel):
    """Whole models in folders and on the hub, as methods of the inferencer."""

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        device: str | torch.device = 'auto',
        revision: str | None = None,
        token: str | None = None,
        endpoint: str | None = None,
        **options: Any,
    ) -> Self:
        """Load a model from a folder of :meth:`save_pretrained`, or from a repository of the Hugging Face hub.

        No code of the folder is run: its config is data, and names only components that are registered.

        Args:
            name (str | Path): The folder, or ``user/model``, which is downloaded.
            device (str | torch.device): As for the class.
            revision (str, optional): Branch, tag or commit of a repository.
            token (str, optional): For private repositories.
            endpoint (str, optional): Address of another hub.
            **options: More arguments of the class: ``text_embeddings``, ``calibration``.

        Raises:
            OSError: There is neither, or it cannot be read or downloaded.
            ValueError: It holds no model of xdet, or one that does not fit.
        """
        folder = pretrained.find_folder(name, revision, token, endpoint)
        return cls(folder, device=device, **options)

    def save_pretrained(self, folder: str | Path, dtype: str | None = 'float16') -> Path:
        """Write config, weights, card and, if there is one, calibration; all of them or none.

        Args:
            folder (str | Path): Made if it does not exist; files of an earlier call are replaced.
            dtype (str, optional): Type of the weights; None keeps theirs.

        Returns:
            Path: The folder.

        Raises:
            OSError: The folder cannot be written.
            ValueError: The config names files that would not be in the folder, or the type cannot hold the weights.
        """
        model, folder = self.model, expand(folder)
        name, knows = self.origin.model, self.origin.knows
        answers = {key: list(task.answers) for key, task in model.tasks.items() if getattr(task, 'named', False)}
        transforms = inference_transforms(self.cfg)
        vocabulary = self.default_vocabulary
        config = pretrained.config_text(name, self.cfg, transforms, vocabulary, knows, answers)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        card = pretrained.card(name, self.task_names, knows, parameters, model_zoo.metadata(name))
        make_folder(folder)
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            weights = Path(unfinished, pretrained.WEIGHTS)
            known = None if self.word_check is None else self.word_check.known
            save_weights(model, weights, dtype, known)
            files = {pretrained.CONFIG: config.encode(), pretrained.CARD: card.encode()}
            calibration = self.calibration
            if calibration is not None:
                beside = Calibration(Origin(name, str(weights)).weights_sha256, calibration.thresholds)
                beside.save(Path(unfinished, pretrained.CALIBRATION))
                files[pretrained.CALIBRATION] = Path(unfinished, pretrained.CALIBRATION).read_bytes()
            files[pretrained.WEIGHTS] = weights.read_bytes()
            write_files({folder / file: content for file, content in files.items()})
        return folder

    def push_to_hub(
        self,
        name: str,
        private: bool = True,
        revision: str | None = None,
        token: str | None = None,
        endpoint: str | None = None,
        dtype: str | None = 'float16',
    ) -> str:
        """Upload what :meth:`save_pretrained` writes to a repository of the Hugging Face hub.

        Args:
            name (str): ``user/model``; made if it does not exist.
            private (bool): Whether a repository that is made can be seen by nobody else.
            revision (str, optional): Branch.
            token (str, optional): None takes the one that ``hf auth login`` keeps.
            endpoint (str, optional): Address of another hub.
            dtype (str, optional): As for :meth:`save_pretrained`.

        Returns:
            str: Address of the commit.

        Raises:
            OSError: The hub cannot be reached, or refuses.
            ValueError: As for :meth:`save_pretrained`, or ``name`` is no name of a repository.
        """
        with tempfile.TemporaryDirectory() as folder:
            return pretrained.push(self.save_pretrained(folder, dtype), name, private, revision, token, endpoint)
