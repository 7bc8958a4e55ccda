"""`pellucid.watch`: record a training loop of the user's own, and say what is wrong with it."""

from __future__ import annotations

import functools
import math
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.diagnosis import Facts, examine
from pellucid.diagnosis.watched import Glance, Look, Probes, Watched
from pellucid.lens.watch import loss_graph
from pellucid.lens.watch.batch_facts import BatchFacts
from pellucid.lens.watch.close_look import ModuleLooks, ParameterLooks, group_of
from pellucid.lens.watch.events import Events, entries
from pellucid.lens.watch.probing import probe
from pellucid.lens.watch.reading import (
    as_module,
    as_optimizers,
    class_weights,
    detached,
    inputs_of,
    is_number,
    joined,
    near,
    numbers,
    own_loss,
    single,
    tensors_of,
)
from pellucid.lens.watch.schedule import Schedule
from pellucid.lens.watch.spread import against, first_tensor, plain_loss, spread
from pellucid.lens.watch.structure import embeddings, lost_layers, module_facts, optimizing, shared_modules
from pellucid.record import Finding

LOSSES = 128
"""Losses that are kept on their device before they are read."""
LOWER = ("loss", "error", "mse", "mae", "rmse", "perplexity", "nll", "distance", "fid")

_watched: weakref.WeakKeyDictionary[nn.Module, int] = weakref.WeakKeyDictionary()


def watch(
    model: nn.Module | Iterable[nn.Module] | Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer | Iterable[torch.optim.Optimizer] | None = None,
    *,
    loss: Callable[..., Any] | None = None,
    mute: Collection[str] = (),
    on_finding: Callable[[Finding], None] | None = None,
) -> Watch:
    """Watch a training loop: three lines, and nothing about the training changes.

    The loop keeps its forward pass, backward pass and step; the watch sees them through hooks, measures a few
    steps closely (fewer as the loop goes on), and rules say what is wrong. It never raises into the loop,
    and weights are the same bits with it and without.

    Args:
        model: any module, or several (a list or dict) where a loop trains several.
        optimizer: one or several of `torch.optim`; without it, steps are seen by what they change.
        loss: the loss function; of a module, its class weights are read.
        mute: ids of rules that should not report.
        on_finding: is called once with each finding, at the step at which it first appears.

    Returns:
        A context manager with `step`, `validate` and `findings`.

    Example:
        with pellucid.watch(model, optimizer) as w:
            for x, y in batches:
                optimizer.zero_grad()
                loss = loss_fn(model(x), y)
                loss.backward()
                optimizer.step()
                w.step(loss, inputs=x, targets=y)
        print(w.findings)
    """
    return Watch(model, optimizer, loss=loss, mute=mute, on_finding=on_finding)


class Watch:
    """What `watch` returns: see there.

    Attributes:
        steps: calls of `step` and `skip`.
        schedule: which steps are attended to.
        problems: what could not be recorded, and why.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any = None,
        *,
        loss: Any = None,
        mute: Collection[str] = (),
        on_finding: Callable[[Finding], None] | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self.steps = 0
        self.problems: dict[str, str] = {}
        self.mute, self.on_finding, self.loss = mute, on_finding, loss
        self.schedule = schedule or Schedule()
        self._ended = self._broken_off = False
        self._reported: set[tuple[str, str]] = set()
        self._losses: list[tuple[int, float]] = []
        self._waiting: list[tuple[int, Any]] = []
        self._rates: list[tuple[int, float]] = []
        self._looks: list[Look] = []
        self._glances: list[Glance] = []
        self._validations: dict[str, list[tuple[int, float]]] = {}
        self._lower: set[str] = set()
        self._batches = BatchFacts()
        self._graph: Any = None
        self._probes = Probes()
        self._plain = self._in_outputs = False
        self._expected: float | None = None
        self._without_graph = 0
        self._changed_in_forward = ""
        self._modules: ModuleLooks | None = None
        self._parameters: ParameterLooks | None = None
        self._steps_before = 0  # of the optimizers, when the present look began
        self._depth = 0  # of guarded calls in each other
        self._events: Events | None = None
        self._optimizers = as_optimizers(optimizer)
        self.model = as_module(model)
        self._kept_step = self._guard(self._keep)
        self._attended_step = self._guard(self._attend)
        self._read_batch = self._guard(self._batches.read)
        self._guard(self._open)()

    # ---- opening and closing -------------------------------------------------------------------------

    def _open(self) -> None:
        _watched[self.model] = _watched.get(self.model, 0) + 1
        self._watches = _watched[self.model]
        self._names = {id(one): name for name, one in self.model.named_parameters()}
        self._facts = module_facts(self.model)
        self._lost, self._shared = lost_layers(self.model), shared_modules(self.model)
        self._events = Events(entries(self.model), self._optimizers, self._guard)
        self._events.after_forward.append(self._forwarded)
        self._prepare()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broken_off = error is not None
        self.close()

    def close(self) -> None:
        """Remove all hooks; `findings` stay available."""
        if self._ended:
            return
        self._ended = True
        self._guard(self._close)()

    def _close(self) -> None:
        _watched[self.model] = max(0, _watched.get(self.model, 1) - 1)
        for hooked in (self._modules, self._parameters, self._events):
            if hooked is not None:
                hooked.close()
        self._flush()
        self._stream()

    # ---- what the loop calls -------------------------------------------------------------------------

    def step(self, loss: Any = None, *, inputs: Any = None, targets: Any = None) -> None:
        """Record one update; call it at the end of each.

        Args:
            loss: the loss of this step, as the tensor that `backward` was called on (a number also goes).
            inputs: what the model was given; by default, what its forward pass received.
            targets: what the loss compared the outputs with.
        """
        self.steps += 1
        ahead = self.schedule.coming - self.steps
        if ahead > 1 and isinstance(loss, Tensor) and len(self._waiting) < LOSSES:
            self._waiting.append((self.steps, detached(loss)))  # most steps: nothing else is done
        elif ahead > 0:
            self._kept_step(loss)
        else:
            self._attended_step(loss, inputs, targets)

    def skip(self) -> None:
        """Count an update that is not attended to, without its loss."""
        self.steps += 1
        if self.steps + 1 == self.schedule.coming:
            self._guard(self._prepare)()

    @property
    def attends(self) -> bool:
        """Whether the coming step is attended to."""
        return self.steps + 1 >= self.schedule.coming

    @property
    def attended(self) -> int:
        """Steps that were attended to."""
        return self._events.attended if self._events else 0

    def validate(self, metric: float | Mapping[str, float]) -> None:
        """Record a measure on rows that are not trained on.

        Args:
            metric: a number for which higher is better, or several by name; those named after a loss or an
                error are better when lower.
        """
        self._guard(self._validate)(metric)

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, the likeliest first; never raises."""
        found: list[Finding] = []

        def look() -> None:
            found.extend(examine(Facts(watched=self.evidence), muted=self.mute).findings)

        self._guard(look)()
        return found

    @property
    def evidence(self) -> Watched:
        """Everything that was recorded, as plain values."""
        self._flush()
        events = self._events
        return Watched(
            steps=self.steps,
            losses=tuple(self._losses),
            rates=tuple(self._rates),
            looks=tuple(self._looks),
            glances=tuple(self._glances),
            graph=self._graph,
            loop=events.loop(self._without_graph, self._ended and not self._broken_off)
            if events
            else Watched().loop,
            batches=self._batches.facts(self._usual_loss()),
            probes=self._probes,
            shared=self._shared,
            optimizers=optimizing(self._optimizers, self.model, events.steps_of) if events else (),
            modules=self._facts,
            measured=self._events.measured_inputs if self._events else None,
            class_weights=class_weights(self.loss),
            lost=self._lost,
            validations={name: tuple(series) for name, series in self._validations.items()},
            lower=frozenset(self._lower),
            devices=frozenset(one.device.type for one in self.model.parameters()),
            changed_in_forward=self._changed_in_forward,
            watches=self._watches,
            expected=self._expected,
        )

    def _usual_loss(self) -> str:
        """The kind of the loss, where it is the usual one, for which the loss of guessing is known."""
        graph = self._graph
        weighted = graph is not None and (graph.weighted or bool(class_weights(self.loss)))
        return graph.loss if graph is not None and self._plain and not weighted else ""

    # ---- recording -----------------------------------------------------------------------------------

    def _keep(self, loss: Any) -> None:
        """Keep the loss of a step that is not attended to."""
        self._waiting.append((self.steps, detached(single(loss))))
        if len(self._waiting) >= LOSSES:
            self._flush()
        if self.steps + 1 == self.schedule.coming:
            self._prepare()

    def _attend(self, loss: Any, inputs: Any, targets: Any) -> None:
        """Record a step that is attended to, and plan the next one."""
        events = self._events
        if events is None:
            return
        self._guard(self._record)(events, loss, inputs, targets)
        events.attended += 1
        events.forget()
        self.schedule.plan(self.steps)
        if self.schedule.coming == self.steps + 1:
            self._prepare()
        else:
            events.detach()

    def _record(self, events: Events, loss: Any, inputs: Any, targets: Any) -> None:
        self._in_outputs = loss is None  # the model of transformers returns it
        value = single(own_loss(events.outputs) if loss is None else loss)
        self._waiting.append((self.steps, detached(value)))
        self._rate()
        arguments = inputs if inputs is not None else inputs_of(events.arguments)
        if targets is None and inputs is None and events.arguments is not None:
            targets = events.arguments[1].get("labels")
        given, wanted = first_tensor(arguments), first_tensor(targets)
        self._read_batch(given, wanted, tensors_of(arguments))
        if self.schedule.glance:
            self._guard(self._glance)(first_tensor(events.outputs), wanted)
        if self.schedule.look:
            self._guard(self._finish_look)(value, given, wanted)
        if isinstance(value, Tensor) and value.grad_fn is None:
            self._without_graph += 1

    def _glance(self, outputs: Tensor | None, targets: Tensor | None) -> None:
        if self._graph is not None and self._graph.loss == "cross_entropy":
            compared = against(outputs, targets)
            if compared is not None:
                self._glances.append(Glance(self.steps, *compared))

    def _rate(self) -> None:
        if not self._optimizers:
            return
        rate = float(self._optimizers[0].param_groups[0].get("lr", 0.0))
        if len(self._rates) < 2 or self._rates[-1][1] != rate or self._rates[-2][1] != rate:
            self._rates.append((self.steps, rate))
        else:
            self._rates[-1] = (self.steps, rate)

    def _finish_look(self, value: Any, inputs: Tensor | None, targets: Tensor | None) -> None:
        events, first = self._events, not self._looks
        assert events is not None
        modules = self._modules.close() if self._modules else ()
        parameters = self._parameters.close() if self._parameters else ()
        self._modules = self._parameters = None
        if isinstance(value, Tensor) and value.grad_fn is not None and len(self._looks) < 3:
            self._read_graph(value)
        made = first_tensor(events.outputs)
        kind = self._graph.loss if self._graph else ""
        if first:
            self._expected = plain_loss(made, targets, kind)
            self._plain = near(value, self._expected)
        look = Look(
            self.steps,
            math.nan if value is None else float(detached(value)),
            modules,
            parameters,
            spread(inputs, closely=True),
            spread(targets, closely=True),
            spread(made, closely=True),
            training=self.model.training,
            updates=events.steps - self._steps_before,
        )
        self._looks.append(look)
        if first and events.arguments is not None and events.called is not None:
            self._guard(self._probe)(events.called, events.arguments, targets)
        self._stream()

    def _read_graph(self, value: Tensor) -> None:
        graph = loss_graph.read(value, self._names)
        if graph is not None and self._graph is not None:
            graph = joined(self._graph, graph)
        self._graph = graph or self._graph

    def _probe(self, model: nn.Module, arguments: Any, targets: Tensor | None) -> None:
        self._probes, reason = probe(model, arguments, self._batches.padding, targets)
        if reason:
            self.problems["probes"] = reason

    def _prepare(self) -> None:
        """Set the hooks for the next step."""
        events = self._events
        assert events is not None
        events.attach()
        events.keep = self.schedule.look or self.schedule.glance or self._in_outputs
        events.before_step[:] = []
        if not self.schedule.look:
            return
        self._steps_before = events.steps
        named = dict(self.model.named_parameters())
        self._names = {id(one): name for name, one in named.items()}
        usable = {n: p for n, p in named.items() if not isinstance(p, nn.UninitializedParameter)}
        self._modules = ModuleLooks(self.model, self._guard)
        self._parameters = ParameterLooks(usable, group_of(self._optimizers), embeddings(self.model))
        events.before_step.append(self._stepping)

    def _stepping(self, index: int) -> None:
        if self._parameters is not None:
            self._parameters.stepping(self._optimizers[index])

    def _forwarded(self, versions_before: Mapping[int, int]) -> None:
        """See whether a forward pass has changed weights."""
        if self._changed_in_forward:
            return
        for name, one in self.model.named_parameters():
            if versions_before.get(id(one), one._version) != one._version:
                self._changed_in_forward = name
                return

    def _validate(self, metric: Any) -> None:
        named = metric if isinstance(metric, Mapping) else {"metric": metric}
        for name, value in named.items():
            series = self._validations.setdefault(str(name), [])
            series.append((self.steps, float(value)))
            if any(word in str(name).lower() for word in LOWER):
                self._lower.add(str(name))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._optimizers and waiting:
            self._rate()
        known = [(step, value) for step, value in waiting if is_number(value)]
        self._losses += zip((step for step, _ in known), numbers([value for _, value in known]), strict=True)

    def _stream(self) -> None:
        if self.on_finding is None:
            return
        for finding in self.findings:
            key = (finding.rule, finding.where)
            if key not in self._reported:
                self._reported.add(key)
                self._guard(self.on_finding)(finding)

    # ---- never into the loop -------------------------------------------------------------------------

    def _guard(self, call: Callable[..., Any]) -> Callable[..., None]:
        """Return a function that calls another, times it, and keeps its errors from the loop."""

        @functools.wraps(call)
        def guarded(*args: Any, **kwargs: Any) -> None:
            start = time.thread_time()
            self._depth += 1
            try:
                call(*args, **kwargs)
            except Exception as error:
                name = getattr(call, "__name__", "watch").strip("_")
                self.problems.setdefault(name, f"{type(error).__name__}: {error}")
            self._depth -= 1
            if not self._depth:  # the time of a call within a call is in that of the outer one
                self.schedule.spent += time.thread_time() - start

        return guarded


__all__: Sequence[str] = ["Watch", "watch"]
