"""`pyarrow.compute` as `pc`: its functions are made at run time, so a type checker cannot know them."""

from typing import Any

import pyarrow.compute

pc: Any = pyarrow.compute
