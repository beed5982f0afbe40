"""What can be asked."""

from __future__ import annotations

import pytest

from idlescope.analysis.prediction.what_if import WhatIf
from idlescope.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"depth": 0}, "--depth is 0"),
        ({"depth": 65}, "--depth is 65"),
        ({"host": -1.0}, "--host is -1.0"),
        ({"device": float("nan")}, "--device is nan"),
        ({"device": 2e3}, "--device is 2000.0"),
    ],
)
def test_what_cannot_be_asked_is_refused(options, reason):
    with pytest.raises(ConfigError, match=reason):
        WhatIf(**options)
