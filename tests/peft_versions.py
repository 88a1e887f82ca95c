"""Whether the installed PEFT is one that transformers' own adapter methods take: 5.24 wants one that is not out yet."""

import peft
import pytest
from packaging.version import Version
from transformers.integrations import peft as integration

WANTED = getattr(integration, "MIN_PEFT_VERSION", "0")

adapters_of_transformers = pytest.mark.skipif(
    Version(peft.__version__) < Version(WANTED),
    reason=f"transformers wants PEFT {WANTED} or later for `add_adapter`, this is {peft.__version__}",
)
