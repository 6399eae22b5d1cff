"""Folders for a deposition to the CryoET Data Portal: annotations with their metadata, in the portal's own layout."""

from cryomamba.deposition.about import Author, DepositedObject, DepositionAbout, MethodLink, read_about
from cryomamba.deposition.folder import AnnotationFolder

__all__ = ["AnnotationFolder", "Author", "DepositedObject", "DepositionAbout", "MethodLink", "read_about"]
