"""`pyarrow.compute` as `pc`: its functions are created at run time, so type checkers do not know them."""

from typing import Any

import pyarrow.compute

pc: Any = pyarrow.compute
