"""When a name or phrase is not there: thresholds of presence with a stated error rate, learned from a few images."""

from .cases import Case, look, read_cases
from .file import TEMPERATURES, Calibration, load_beside, names_key, path_beside
from .rule import KINDS, Finding, Threshold, conformal_threshold, learn, measure, presence_at_recall

__all__ = [
    'KINDS',
    'TEMPERATURES',
    'Calibration',
    'Case',
    'Finding',
    'Threshold',
    'conformal_threshold',
    'learn',
    'load_beside',
    'look',
    'measure',
    'names_key',
    'path_beside',
    'presence_at_recall',
    'read_cases',
]
