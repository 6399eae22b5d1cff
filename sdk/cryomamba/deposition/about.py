"""What only people know of a deposition: authors, dates, and what the objects are; read from a TOML file.

Names and rules of the fields are those of the portal's metadata schema 2.0
(https://github.com/chanzuckerberg/cryoet-data-portal-backend, ``schema``).
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cryomamba.errors import InvalidRequestError, NotFoundError
from cryomamba.field_problems import field_problem

_ORCID = r"^\d{4}-\d{4}-\d{4}-\d{3}[0-9X]$"
_OBJECT_ID = r"^(GO:[0-9]{7}|UniProtKB:([OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2}))$"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Author(_Section):
    """An author, as the portal lists them."""

    name: str = Field(min_length=1)
    ORCID: Annotated[str, Field(pattern=_ORCID)] | None = None
    email: str | None = None
    affiliation_name: str | None = None
    affiliation_address: str | None = None
    affiliation_identifier: str | None = None
    corresponding_author_status: bool = False
    primary_author_status: bool = False


class DepositedObject(_Section):
    """What a mask or picks show."""

    id: Annotated[str, Field(pattern=_OBJECT_ID)] | None = None
    name: str | None = None
    description: str | None = None
    state: str | None = None


class MethodLink(_Section):
    """A link to code, weights or documentation of the method."""

    link: str
    link_type: Literal["documentation", "models_weights", "other", "source_code", "website"]
    custom_name: str | None = None


class DepositionAbout(_Section):
    """The TOML file.

    Attributes
    ----------
    deposition_id : int, optional
        Assigned by the portal.
    authors : tuple of Author
    version : float
        Of the annotations.
    deposition_date, release_date, last_modified_date : date, optional
    method_type : {'manual', 'automated', 'hybrid', 'simulated'}
        ``hybrid`` for masks that were corrected by hand.
    method : str, optional
        How the annotations were made; by default engine and parameters.
    publications : str, optional
        DOI, EMPIAR, EMD or PDB identifiers, separated by commas.
    ground_truth_status : bool
    links : tuple of MethodLink
    objects : mapping of str to DepositedObject
        By the name of the label, or the feature in the file's name.
    """

    deposition_id: int | None = None
    authors: tuple[Author, ...] = ()
    version: Annotated[float, Field(ge=0)] = 1.0
    deposition_date: dt.date | None = None
    release_date: dt.date | None = None
    last_modified_date: dt.date | None = None
    method_type: Literal["manual", "automated", "hybrid", "simulated"] = "automated"
    method: str | None = None
    publications: str | None = None
    ground_truth_status: bool = False
    links: tuple[MethodLink, ...] = ()
    objects: Mapping[str, DepositedObject] = Field(default_factory=dict)

    def missing(self) -> list[str]:
        """Return what the portal requires and the file does not have, but for the objects."""
        lacking = []
        if self.deposition_id is None:
            lacking.append("deposition_id (the portal assigns it)")
        if not self.authors:
            lacking.append("authors")
        else:
            lacking += [
                f"an author with {status} = true"
                for status in ("corresponding_author_status", "primary_author_status")
                if not any(getattr(author, status) for author in self.authors)
            ]
            lacking += [f"the ORCID of {author.name}" for author in self.authors if author.ORCID is None]
        dates = ("deposition_date", "release_date", "last_modified_date")
        return lacking + [name for name in dates if getattr(self, name) is None]


def read_about(path: Path) -> DepositionAbout:
    """Read the TOML file.

    Raises
    ------
    NotFoundError
        There is no such file.
    InvalidRequestError
        It is not TOML, or a field is wrong; the message names it.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"There is no file '{path}'.", hint="Check the spelling of its name.") from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"'{path.name}' is not TOML: {error}.", hint="Correct it, and try again.") from None
    try:
        return DepositionAbout.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidRequestError(
            f"'{path.name}', {where}: {field_problem(first)}.", hint="The guide 'Other programs' lists the fields."
        ) from None
