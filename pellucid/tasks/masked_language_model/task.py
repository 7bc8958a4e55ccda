"""The task."""

from pellucid.tasks.language_model.task import MaskedLanguageModel

TASK = MaskedLanguageModel()
