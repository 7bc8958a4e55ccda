"""The command line: one file per command, each a few lines over `runner`, `inference`, `report` and `record`.

In: the arguments a user types. Out: text, or with `--json` one JSON value on standard output and nothing
else. `pellucid --help` imports neither torch nor anything of ours but `errors` and
`terminal`: a command imports what it needs when it is called.
"""
