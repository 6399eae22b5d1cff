"""Work that takes a while: in a thread, with progress, cancellation, and errors as notifications."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from cryomamba.errors import CryoMambaError, ErrorCode, InternalError, JobFailedError, UnavailableError
from napari_cryomamba.app.notifications import Notifications, disk_error
from napari_cryomamba.models.notifications import Level, Notification

JOIN_S = 10.0


class TaskRunner(QObject):
    """Runs functions in threads and brings results back to the GUI thread.

    superqt's workers raise errors once more inside their thread and take progress from generators only; what runs here
    takes callbacks.

    Signals
    -------
    changed
        A task has begun or ended.
    """

    changed = Signal()
    _ended = Signal(object)
    _progressed = Signal(object)

    def __init__(self, notifications: Notifications, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._notifications = notifications
        self._tasks: set[Task] = set()
        self._ended.connect(self._on_ended)
        self._progressed.connect(self._on_progress)

    def run(
        self,
        context: str,
        work: Callable[[Task], Any],
        done: Callable[[Any], None] | None = None,
        progress: Callable[[float], None] | None = None,
        failed: Callable[[], None] | None = None,
        *,
        background: bool = False,
    ) -> Task:
        """Start a task.

        Parameters
        ----------
        context : str
            What is being done, for people.
        work : callable
            Takes the task, to report progress and to check whether it was cancelled; runs in the task's thread.
        done, progress, failed : callable, optional
            Called in the GUI thread; not after the task was cancelled or this object was closed.
        background : bool
            Whether nobody waits for it.
        """
        task = Task(context, work, self._ended.emit, self._progressed.emit)
        task.done, task.on_progress, task.failed, task.background = done, progress, failed, background
        self._tasks.add(task)
        task.start()
        self.changed.emit()
        return task

    @property
    def is_busy(self) -> bool:
        """Whether any task runs."""
        return bool(self._tasks)

    @property
    def waited_for(self) -> list[Task]:
        """The tasks that run and are not in the background, oldest first."""
        found = (task for task in self._tasks if not task.background and not task.is_cancelled())
        return sorted(found, key=lambda task: task.started)

    def abandon(self, task: Task) -> None:
        """Cancel a task for the user: `failed` is called, so that what waits for it goes on, but there is no error."""
        if task in self._tasks and not task.is_cancelled():
            task.cancel()
            self._notifications.notify(Notification(Level.INFO, "Cancelled.", context=task.context))
            if task.failed is not None:
                task.failed()
            self.changed.emit()

    def close(self) -> None:
        """Cancel all tasks and wait for their threads; one that lasts longer reports to nobody."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
            task.detach()
        for task in tasks:
            task.join(JOIN_S)

    def _on_progress(self, progressed: tuple[Task, float]) -> None:
        task, fraction = progressed
        if task not in self._tasks or task.is_cancelled():
            return
        task.fraction = fraction
        if task.on_progress is not None:
            task.on_progress(fraction)

    def _on_ended(self, task: Task) -> None:
        if task not in self._tasks:
            return
        self._tasks.discard(task)
        self.changed.emit()
        if task.is_cancelled():
            return
        if task.error is None:
            if task.done is not None:
                task.done(task.result)
            return
        self._notifications.notify_error(task.error, task.context)
        if task.failed is not None:
            task.failed()


class Task(threading.Thread):
    """A function that runs in a thread; made by :meth:`TaskRunner.run`."""

    def __init__(
        self,
        context: str,
        work: Callable[[Task], Any],
        ended: Callable[[Task], None],
        progressed: Callable[[tuple[Task, float]], None],
    ) -> None:
        super().__init__(name=f"cryomamba-{context.lower().replace(' ', '-')}", daemon=True)
        self.context = context
        self.result: Any = None
        self.error: CryoMambaError | None = None
        self.done: Callable[[Any], None] | None = None
        self.on_progress: Callable[[float], None] | None = None
        self.failed: Callable[[], None] | None = None
        self.background = False
        self.started = time.monotonic()
        self.fraction: float | None = None
        self._work, self._ended, self._progressed = work, ended, progressed
        self._cancelled = threading.Event()
        self._reporting = threading.Lock()
        self._detached = False

    def run(self) -> None:
        """Run the function."""
        try:
            self.result = self._work(self)
        except CryoMambaError as error:
            self.error = error
        except OSError as error:
            self.error = disk_error(error)
        except MemoryError:
            why = "There is not enough memory for that."
            self.error = UnavailableError(why, code=ErrorCode.OUT_OF_MEMORY, hint="Close other volumes and try again.")
        except Exception as error:  # noqa: BLE001 (a thread's error would be lost; here it reaches the user)
            why = f"{type(error).__name__}: {error}"
            self.error = InternalError(why, hint="Please report it: Messages → Copy report.")
        self._report(self._ended, self)

    def _report(self, signal: Callable[[Any], None], value: object) -> None:
        # Emitting a signal of an object that Qt has deleted would end the process.
        with self._reporting:
            if not self._detached:
                signal(value)

    def progress(self, fraction: float) -> None:
        """Report the fraction done, 0 to 1.

        Raises
        ------
        JobFailedError
            The task was cancelled; the function should let it pass.
        """
        if self.is_cancelled():
            raise JobFailedError("The task was cancelled.", code=ErrorCode.CANCELLED)
        self._report(self._progressed, (self, fraction))

    def detach(self) -> None:
        """Report nothing from now on, because who would receive it is about to be deleted."""
        with self._reporting:
            self._detached = True

    def cancel(self) -> None:
        """Ask the task to stop at its next report of progress."""
        self._cancelled.set()

    def is_cancelled(self) -> bool:
        """Whether the task should stop."""
        return self._cancelled.is_set()
