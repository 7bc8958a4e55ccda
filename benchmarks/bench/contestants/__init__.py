"""Those who take part: each module has a class `Side`, made and used as `side.py` says."""
