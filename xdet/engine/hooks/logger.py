"""MMEngine's logger of metrics, safe with several processes, and with validations at their iteration."""

from __future__ import annotations

from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import LoggerHook as MMEngineLoggerHook

from xdet.registry import HOOKS


@HOOKS.register_module()
class LoggerHook(MMEngineLoggerHook):
    """Takes the place of MMEngine's, by its name.

    There, every process writes the results of a test into the same file at the same time, and what is left may be no
    JSON; and the values of validations stand at their epoch, which is 0 all through a training that counts iterations.
    """

    def before_run(self, runner: Any) -> None:
        """Count validations as the training counts."""
        super().before_run(runner)
        self.log_metric_by_epoch = self.log_metric_by_epoch and runner.log_processor.by_epoch

    def after_test_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Log the results and write them, in one process."""
        if is_main_process():
            super().after_test_epoch(runner, metrics)
