"""The command line: one file per verb, each a few lines over `build`, `evaluation`, `report` and `record`.

In: words a person typed. Out: text, or with `--json` one JSON object on standard output and nothing else.
`pellucid --help` imports neither torch nor anything of ours but `errors`: a verb imports when it is called.
"""
