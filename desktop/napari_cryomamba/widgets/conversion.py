"""Writing a tomogram of another format as MRC before a job, with what is being done."""

from __future__ import annotations

from collections.abc import Callable

from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.conversion import convert, needs_conversion
from napari_cryomamba.models.source import Source
from napari_cryomamba.widgets.layout import PlainLabel


class ConversionLine(PlainLabel):
    """A line of text; hidden until a tomogram has to be written."""

    def __init__(self, tasks: TaskRunner) -> None:
        super().__init__()
        self._tasks = tasks
        self.setWordWrap(True)
        self.hide()

    def with_file(self, source: Source, start: Callable[[], None]) -> None:
        """Call `start` once a tomogram of another format is written as MRC, which is what engines read."""
        if not needs_conversion(source):
            start()
            return
        text = f"Writing {source.meta.name} as MRC for the engine"
        self.setText(f"{text} …")
        self.show()

        def done(_none: object) -> None:
            self.setText(f"{source.meta.name} was written as MRC for the engine: {source.path}.")
            start()

        self._tasks.run(
            text,
            lambda task: convert(source, task.progress),
            done,
            progress=lambda fraction: self.setText(f"{text}: {fraction:.0%}"),
            failed=self.hide,
        )
