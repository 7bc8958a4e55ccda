"""The task."""

from pellucid.tasks.seq2seq.task import SpanDenoising

TASK = SpanDenoising()
