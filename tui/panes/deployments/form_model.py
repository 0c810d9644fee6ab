"""What the deployment form holds and tells: sections, values, reasons, offers, estimates. No widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from backend.core.views import (
    AdviceView,
    FormCheckView,
    FormFieldView,
    FormView,
    OfferView,
    SuggestionView,
)
from tui.document import Line, Span, cells, join, text
from tui.panes.deployments.fit_model import goes_line, nodes_of, verdict_line

Check = Callable[[Mapping[str, str], str], FormCheckView]
#: Cells of the labels before estimates, suggestions and cautions.
INDENT = 11
#: Fields whose values are objects that can be listed: what is not among them is odd.
_LISTED = frozenset({"namespace", "runtime", "modelFormat", "queue", "serviceAccount", "priorityClass"})
_NOTHING = FormCheckView(problems=(), deployment="")


@dataclass
class FormState:
    """A form while somebody writes in it.

    Attributes:
        advice: of the deployment as it last was whole; None: it is asked for, or cannot be told (`advice_problem`).
        chosen: which suggestion is shown.
        opened: what stood in the fields when the form was opened. typed: by hand, before an offer was chosen.
    """

    form: FormView
    check: Check
    values: dict[str, str] = field(default_factory=dict)
    section: int = 0
    advice: AdviceView | None = None
    advice_problem: str = ""
    chosen: int = 0
    checked: FormCheckView = _NOTHING
    opened: dict[str, str] = field(default_factory=dict)
    typed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values, self.opened = dict(self.form.values), dict(self.form.values)
        self.look()

    # ------------------------------------------------------------ what stands in it

    @property
    def sections(self) -> tuple[str, ...]:
        """Names of the sections in their order."""
        return tuple(dict.fromkeys(each.section for each in self.form.fields))

    @property
    def fields(self) -> tuple[FormFieldView, ...]:
        """The fields of the section that is shown."""
        name = self.sections[self.section]
        return tuple(each for each in self.form.fields if each.section == name)

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return self.values != self.opened

    def put(self, id: str, value: str) -> None:
        """Write into a field, and look at what becomes of the whole."""
        self.values[id] = value
        self.look()

    def look(self) -> None:
        """Find what is wrong now."""
        self.checked = self.check(self.values, self.form.deployment)

    def fill(self, form: FormView) -> None:
        """Take a form with other values over, with what its fields are offered."""
        section = self.section
        self.form, self.values = form, dict(form.values)
        self.section = min(section, len(self.sections) - 1)
        self.look()

    def offer_anew(self, form: FormView) -> None:
        """Take over what fields are offered, and leave what stands in them."""
        self.form = form
        self.look()

    # ------------------------------------------------------------ offers

    def of(self, id: str) -> FormFieldView:
        """A field by its id."""
        return next(each for each in self.form.fields if each.id == id)

    def offered(self, id: str) -> OfferView | None:
        """The offer that stands in a field, or None."""
        value = self.values.get(id, "")
        return next((each for each in self.of(id).offers if each.value == value), None)

    def next_offer(self, id: str, by: int) -> str | None:
        """The offer after (1) or before (-1) the one that stands in a field; None: there is none further.

        What was typed stands before the first offer, and is come back to.
        """
        offers = [each.value for each in self.of(id).offers]
        value = self.values.get(id, "")
        if value not in offers:
            self.typed[id] = value
        choices = [*([self.typed[id]] if id in self.typed and not self.of(id).closed else []), *offers]
        at = choices.index(value) + by if value in choices else 0 if by > 0 else len(choices) - 1
        return choices[at] if 0 <= at < len(choices) else None

    # ------------------------------------------------------------ what is wrong

    def problem(self, id: str) -> str:
        """Why a field will not do; empty when it will."""
        return next((each.why for each in self.checked.problems if each.field == id), "")

    def warning(self, id: str) -> str:
        """What is odd about a field that does; empty when nothing is."""
        view, offer = self.of(id), self.offered(id)
        if offer is not None:
            return offer.wrong
        if id == "imagePullSecrets" and view.offers:
            known = {each.value for each in view.offers}
            lacking = [name for name in self.values.get(id, "").split() if name not in known]
            return f"the namespace has no secret {lacking[0]}" if lacking else ""
        if (
            view.id in {"namespace", "runtime", "modelFormat", "queue", "serviceAccount", "priorityClass"}
            and view.offers
            and self.values.get(id, "")
        ):
            return f"it is not among the {len(view.offers)} that are known"
        return ""

    def first_problem(self) -> tuple[int, str] | None:
        """Section and field of the first thing that is wrong."""
        for each in self.checked.problems:
            section = self.of(each.field).section
            return self.sections.index(section), each.field
        return None

    # ------------------------------------------------------------ suggestions

    @property
    def suggestion(self) -> SuggestionView | None:
        """The one that is shown."""
        found = self.advice.suggestions if self.advice is not None else ()
        return found[self.chosen % len(found)] if found else None


# ------------------------------------------------------------ lines


def tabs_line(state: FormState) -> Line:
    """The sections; a mark stands at those that hold something wrong."""
    wrong = {state.of(each.field).section for each in state.checked.problems}
    spans: list[Span] = [Span(" ")]
    for number, name in enumerate(state.sections):
        here = number == state.section
        mark = "✗" if name in wrong else " "
        told = f"▸{name}◂" if here else f" {name} "
        spans += [Span(told, "title-focus" if here else "title"), Span(mark, "bad"), Span(" ")]
    return tuple(spans)


def label_line(state: FormState, id: str) -> Line:
    """A field's label with a mark when something is wrong or odd."""
    mark = Span("✗ ", "bad") if state.problem(id) else Span("! ", "warn") if state.warning(id) else Span("  ")
    return (mark, Span(state.of(id).label, "label"))


def told_line(state: FormState, id: str) -> Line:
    """What is to be known of the field that has the focus: what is wrong, else what it may hold."""
    view = state.of(id)
    if why := state.problem(id):
        return (Span("✗ ", "bad"), *text(f"{view.label}: {why}", "bad"))
    if why := state.warning(id):
        return (Span("! ", "warn"), *text(f"{view.label}: {why}", "warn"))
    offer = state.offered(id)
    parts = [text(view.hint, "muted")] if view.hint else []
    if view.offers:
        at = next((n for n, each in enumerate(view.offers, 1) if each is offer), 0)
        count = f"{at} of {len(view.offers)}" if at else f"↓ {len(view.offers)} to choose from"
        parts.insert(0, text(count, "accent"))
        if offer is not None and offer.note:
            parts.insert(1, text(offer.note))
    elif view.unlisted:
        parts.append(text(f"nothing is offered: {view.unlisted}", "muted"))
    return join(*parts, gap="  ")


def fit_lines(state: FormState) -> tuple[Line, ...]:
    """Where it would run: an estimate, called so."""
    if state.advice is None:
        told = state.advice_problem or ("once nothing is wrong" if state.checked.problems else "asking the cluster…")
        return ((Span("estimate".ljust(INDENT), "label"), *text(told, "muted")),)
    fit = state.advice.fit
    lines: list[Line] = [(Span("estimate".ljust(INDENT), "label"), *verdict_line(fit))]
    if fit.goes:
        lines.append((Span(" " * INDENT), *goes_line(fit)))
    lines += [(Span(" " * INDENT), *text(f"not counted: {note}", "muted")) for note in fit.notes[:1]]
    return tuple(lines)


def node_lines(state: FormState) -> tuple[Line, ...]:
    """The nodes that matter, those that take most pods first."""
    if state.advice is None or not state.advice.fit.nodes:
        return ()
    lines = nodes_of(state.advice.fit)
    return ((), *((Span(("" if n else "nodes").ljust(INDENT), "label"), *line) for n, line in enumerate(lines)))


def suggestion_lines(state: FormState) -> tuple[Line, ...]:
    """The suggestion that is shown, with its arithmetic; never taken by itself."""
    one = state.suggestion
    if one is None or state.advice is None:
        return ()
    count = len(state.advice.suggestions)
    which = f" {state.chosen % count + 1} of {count}" if count > 1 else ""
    present = f" (now {one.present})" if one.present else ""
    assumed = f"; assumed: {'; '.join(state.advice.assumed[1:])}" if state.advice.assumed[1:] else ""
    return (
        (
            Span("suggested".ljust(INDENT), "label"),
            Span(f"{one.label} {one.value}", "accent"),
            *text(present, "muted"),
            *text(which, "muted"),
            *text(f"  {one.reason}{assumed}", "muted"),
        ),
    )


def caution_lines(state: FormState) -> tuple[Line, ...]:
    """What to know before it is planned."""
    found = state.checked.cautions
    if not found:
        return ()
    more = f"  (and {len(found) - 1} more, in the plan)" if len(found) > 1 else ""
    return ((Span("caution".ljust(INDENT), "label"), *text(found[0], "warn"), *text(more, "muted")),)


def keys_line(state: FormState, width: int) -> Line:
    """The keys that work here; those that matter least are left out where there is no room."""
    several = state.advice is not None and len(state.advice.suggestions) > 1
    keys = [
        ("Enter", "plan", 9), ("Tab", "next", 3), ("↑↓", "choose", 5), ("PgUp PgDn", "section", 6), ("F2", "YAML", 4),
        *([("F4", "take over", 7)] if state.suggestion is not None else []),
        *([("F5", "other", 2)] if several else []),
        ("Esc", "leave", 8),
    ]  # fmt: skip
    while True:
        line = join(*((Span(key, "key"), *text(f" {word}")) for key, word, _ in keys), gap="  ")
        if cells(line) <= width or len(keys) == 1:
            return line
        keys.remove(min(keys, key=lambda each: each[2]))
