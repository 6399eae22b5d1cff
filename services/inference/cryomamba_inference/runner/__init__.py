"""The runner: takes an engine over a volume tile by tile, and publishes progress and previews."""

from cryomamba_inference.runner.control import Control, EventSink
from cryomamba_inference.runner.revisions import run_to_last_strokes
from cryomamba_inference.runner.run import run_task
from cryomamba_inference.runner.task import Outcome, Task

__all__ = ["Control", "EventSink", "Outcome", "Task", "run_task", "run_to_last_strokes"]
