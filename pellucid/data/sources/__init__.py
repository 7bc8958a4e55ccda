"""Where data comes from: hub names, files, folders, arrays and toy data, opened as a `Dataset`."""
