"""The runner: takes an engine over a volume tile by tile and owns everything that an engine does not know."""

from cryomamba_inference.runner.control import Control, Watcher
from cryomamba_inference.runner.run import Outcome, Task, run_task

__all__ = ["Control", "Outcome", "Task", "Watcher", "run_task"]
