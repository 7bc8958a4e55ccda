"""The contestants: each module has a class `Side`, see `side.py`."""
