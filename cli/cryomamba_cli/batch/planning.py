"""How the tomograms of a watched folder are segmented: by the command line, and by rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError
from cryomamba_cli.batch.halves import Halves, group_halves
from cryomamba_cli.batch.plan import Plan
from cryomamba_cli.batch.record import recipe_of
from cryomamba_cli.batch.rules import Rule, Rules
from cryomamba_cli.batch.session import Files, FileState
from cryomamba_cli.engines import choose
from cryomamba_cli.result_paths import result_path
from cryomamba_cli.task_template import TaskTemplate

if TYPE_CHECKING:
    from cryomamba.engines.info import EngineInfo


@dataclass(frozen=True, slots=True)
class Method:
    """What is done with tomograms of a watched folder.

    Attributes
    ----------
    template : TaskTemplate
    halves : Halves
        What is segmented of half-tomograms.
    """

    template: TaskTemplate
    halves: Halves = Halves.SEPARATE

    def require_possible(self) -> None:
        """Check what can be known before there is a tomogram.

        Raises
        ------
        InvalidRequestError
            A parameter is unknown or not valid, or the engine does not make a format.
        """
        from cryomamba.suggestions import did_you_mean

        info = self.template.info
        known = list(info.parameters.get("properties", {}))
        for name in self.template.params:
            if name not in known:
                raise InvalidRequestError(
                    f"'{info.name}' has no parameter '{name}'.",
                    code=ErrorCode.INVALID_PARAMETERS,
                    hint=f"{did_you_mean(name, known)}Its parameters are: {', '.join(known) or 'none'}.",
                )
        self.template.require_formats()

    def plan(self, tomogram: Path, place: Path) -> Plan:
        """Return how a tomogram is segmented.

        Parameters
        ----------
        tomogram : Path
        place : Path
            The path that it would have among the results.
        """
        info = self.template.info
        task = self.template.task(tomogram, result_path(place, info.name))
        return Plan(task, recipe_of(task, info.parameters))


class FolderPlanner:
    """Decides what is done with each tomogram of a watched folder.

    Parameters
    ----------
    root, results : Path
        The watched folder, and the folder of the results, which gets the same subfolders; may be the same.
    method : Method
        For what no rule is.
    rules : Rules
    engines : sequence of EngineInfo
        Those that rules may name.
    check_parameters : bool
        Whether the engines of this environment check the values of parameters; else the server does, job by job.

    Raises
    ------
    InvalidRequestError
        A rule names an engine that does not exist, or its parameters are not valid.
    """

    def __init__(
        self,
        root: Path,
        results: Path,
        method: Method,
        rules: Rules,
        engines: Sequence[EngineInfo],
        *,
        check_parameters: bool,
    ) -> None:
        self._root, self._results, self._rules = root, results, rules
        self._method = method
        self._methods = [self._of(rule, engines) for rule in rules.rule]
        for number, one in enumerate([method, *self._methods]):
            try:
                one.require_possible()
                if check_parameters:
                    _require_valid(one)
            except CryoMambaError as error:
                if number == 0:
                    raise
                raise InvalidRequestError(
                    f"Rule {number} ('{rules.rule[number - 1].match}'): {error.message}",
                    code=error.code,
                    hint=error.hint,
                ) from None

    def _of(self, rule: Rule, engines: Sequence[EngineInfo]) -> Method:
        default = self._method.template
        info = default.info if rule.engine is None else choose(engines, rule.engine)
        own = rule.engine is not None or rule.parameters
        side = rule.voxel_size_A
        template = replace(
            default,
            info=info,
            params=rule.parameters if own else default.params,
            size=default.size if side is None else (side, side, side),
        )
        return Method(template, rule.halves or self._method.halves)

    def _method_of(self, path: Path) -> Method:
        rule = self._rules.of(path)
        return self._method if rule is None else self._methods[self._rules.rule.index(rule)]

    def plan(self, path: Path) -> Plan:
        """Return how a tomogram is segmented, given its path below the folder."""
        method = self._method_of(path)
        plan = method.plan(self._root / path, self._results / path)
        if method.halves is Halves.SEPARATE:
            return plan
        return Plan(plan.task, {**plan.recipe, "halves": str(method.halves)})

    def group(self, volumes: Mapping[Path, FileState]) -> dict[Path, Files]:
        """Return the tomograms that volumes are, without those that a rule leaves out."""
        skipped = {path for path in volumes if (rule := self._rules.of(path)) is not None and rule.skip}
        kept = {path: state for path, state in volumes.items() if path not in skipped}
        return group_halves(kept, lambda path: self._method_of(path).halves)

    def files_of(self, path: Path, files: Files) -> int:
        """Return of how many files a tomogram is that has these files so far."""
        whole = self._root / path in files
        return 2 if self._method_of(path).halves is Halves.AVERAGE and not whole else 1


def _require_valid(method: Method) -> None:
    from cryomamba.engines.registry import Registry

    Registry.discover_one(method.template.info.name).create(method.template.info.name, dict(method.template.params))
