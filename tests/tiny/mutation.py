"""Valid contents of files, damaged at random."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

_ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.lists(st.integers() | st.floats(), max_size=8)
    | st.just({})
    | st.just([[]])
)


def mutated(valid: Any, data: st.DataObject) -> Any:
    """``valid`` (as JSON has it) with some of its values, at any depth, replaced or removed."""
    draw = data.draw
    result = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        node: Any = result
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], (dict, list)) and node[key] and draw(st.booleans()):
                node = node[key]
                continue
            if draw(st.booleans()):
                del node[key]
            else:
                node[key] = copy.deepcopy(draw(_ANYTHING))
            break
    return result


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """Bytes of a file with some of them changed, and perhaps without the end."""
    result = bytearray(content)
    for _ in range(data.draw(st.integers(0, 4))):
        result[data.draw(st.integers(0, len(result) - 1))] = data.draw(st.integers(0, 255))
    return bytes(result[: data.draw(st.integers(0, len(result)))])
