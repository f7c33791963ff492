"""Named places where a test may kill the process, to show that nothing is lost or counted twice (spec 9).

`FAULT_POINT=ingest.after_insert:2` ends the process, as `kill -9` would, the second time that place is reached.
Without the variable a place costs one call of a function that does nothing.
"""

import os
from collections.abc import Callable

_EXIT_AS_KILLED = 137


def _bind(setting: str) -> Callable[[str], None]:
    if not setting:
        return lambda name: None
    wanted, _, nth = setting.partition(":")
    left = int(nth or 1)

    def reach(name: str) -> None:
        nonlocal left
        if name == wanted:
            left -= 1
            if left == 0:
                os._exit(_EXIT_AS_KILLED)

    return reach


reach = _bind(os.environ.get("FAULT_POINT", ""))
