"""What a watch would say had all of its rows been settled at once."""

from __future__ import annotations

import numpy as np

from idlescope.watching.account import Account, OpenRows
from idlescope.watching.rows import Taken
from idlescope.watching.watch import Watch
from idlescope.watching.ways.base import Ended


def settled_once(watch: Watch) -> Account:
    """Return an account of all that a watch has taken in, which nothing may be open in."""
    kept = watch._ring.tables()
    account = Account(watch.way.device)
    columns = {name: kept.operations[name] for name in Ended._fields if name != "until_ns"}
    columns["communication"] = columns["communication"].astype(np.bool_)
    account.settle(
        Ended(**columns, until_ns=watch._account.until),
        Taken(kept.steps, kept.calls, kept.phases),
        OpenRows([], None, -1),
        watch.rows.names.in_order(),
    )
    return account
