"""Tests of models that can be interrupted."""

from .resumable_test import ResumableTestLoop

__all__ = ['ResumableTestLoop']
