"""Pages of metrics, read as prometheus_client reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.core import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from backend.core.errors import LimitExceededError, MalformedDataError
from backend.telemetry.exposition import ExpositionParser, Families, total_of

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}x", fullmatch=True)
LABELS = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(alphabet='\\n"{}, =#', max_size=8),
    max_size=4,
)
SERIES = st.lists(st.tuples(NAMES, st.lists(st.tuples(LABELS, st.floats()), min_size=1, max_size=4)), max_size=5)


class Collector:
    def __init__(self, series: Iterable[tuple[str, list[tuple[dict[str, str], float]]]]) -> None:
        self.series = series

    def collect(self) -> Iterable[Metric]:
        for name, samples in self.series:
            metric = Metric(name, "a help text", "gauge")
            for labels, value in samples:
                metric.add_sample(name, labels, value)
            yield metric


def flat(families: Families) -> list[tuple[str, tuple[tuple[str, str], ...], str]]:
    return [
        (name, tuple(sorted(labels.items())), repr(float(value)))
        for name, samples in families.items()
        for labels, value in samples
    ]


def oracle(text: str) -> list[tuple[str, tuple[tuple[str, str], ...], str]]:
    families: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            families.setdefault(sample.name, []).append((sample.labels, sample.value))
    return flat(families)


@given(SERIES)
def test_what_prometheus_client_writes_is_read_as_it_reads_it(
    series: list[tuple[str, list[tuple[dict[str, str], float]]]],
) -> None:
    registry = CollectorRegistry()
    registry.register(Collector({name: (name, samples) for name, samples in series}.values()))
    page = generate_latest(registry)
    parser = ExpositionParser()
    for _ in range(2):
        assert flat(parser.parse(page, "x")) == oracle(page.decode())


PIECES = st.sampled_from(
    [
        "a",
        "b:c",
        "{",
        "}",
        'l="v"',
        'l="}"',
        'm="\\"x"',
        'n="\\\\"',
        'o="\\n"',
        ",",
        " ",
        "\t",
        "1",
        "-2.5e3",
        "NaN",
        "+Inf",
    ]
)


@given(st.lists(st.lists(PIECES, max_size=8).map("".join), max_size=6).map("\n".join))
@example('a{l="v",} 1 1700000000000\na{l="v"}   2\n  a 3\na\t4\na{l="v"} 5 -12')
@example('a{l="v"} 1\r\na{l="v"} 2\r')
def test_a_page_that_prometheus_client_takes_is_read_the_same(text: str) -> None:
    try:
        expected = oracle(text)
    except (ValueError, IndexError):
        return
    try:
        read = flat(ExpositionParser().parse(text.encode(), "x"))
    except MalformedDataError:
        read = []
    # prometheus_client also takes what the format does not allow; what both take, both read alike.
    if len(read) == len(expected):
        assert read == expected


@given(st.binary(max_size=400) | st.text(alphabet='a{}="\\, \n#1.eN', max_size=200).map(str.encode))
def test_no_bytes_break_the_parser(page: bytes) -> None:
    parser = ExpositionParser()
    for _ in range(2):
        try:
            parser.parse(page, "exporter of gpu-01")
        except MalformedDataError as error:
            assert error.what == "exporter of gpu-01"


def test_a_bad_line_leaves_the_others() -> None:
    families = ExpositionParser().parse(b'a{l="v"} 1\na{l="v} 2\na{l="v"} x\na{l="v"} 3\n', "x")
    assert families == {"a": [({"l": "v"}, 1.0), ({"l": "v"}, 3.0)]}


def test_a_page_with_time_stamps_is_read() -> None:
    assert ExpositionParser().parse(b'a{l="v w"} 1 1700000000000\nb 2 1700000000000\n', "x") == {
        "a": [({"l": "v w"}, 1.0)],
        "b": [({}, 2.0)],
    }


LABELLED = st.builds(lambda labels: ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()), LABELS)
STAMPS = st.one_of(
    st.just(""), st.integers(-(10**15), 10**15).map(" {}".format), st.floats(0, 1e10).map(" {:.3f}".format),
    st.just(" 1.7e9"),
)  # fmt: skip
EXEMPLARS = st.one_of(st.just(""), LABELLED.map(" # {{{}}} 0.67 1520879607.789".format))


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@given(st.lists(st.tuples(LABELS, st.floats(allow_nan=False), STAMPS, EXEMPLARS), min_size=1, max_size=5))
def test_escapes_time_stamps_and_exemplars_change_no_value(
    lines: list[tuple[dict[str, str], float, str, str]],
) -> None:
    page = "".join(
        "a{" + ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items()) + "} " + f"{value}{stamp}{more}\n"
        for labels, value, stamp, more in lines
    )
    parser = ExpositionParser()
    for _ in range(2):
        assert parser.parse(page.encode(), "x") == {"a": [(labels, value) for labels, value, _, _ in lines]}


def test_a_last_line_that_was_cut_off_is_left_out() -> None:
    assert ExpositionParser().parse(b"a 12\nb 345", "x") == {"a": [({}, 12.0)]}
    with pytest.raises(MalformedDataError):
        ExpositionParser().parse(b"a 12", "x")


def test_what_is_not_utf_8_spoils_its_own_label_alone() -> None:
    families = ExpositionParser().parse(b'a{pod="\xff\xfe",node="n"} 1\na{pod="p"} 2\n', "x")
    assert [(labels.get("node"), value) for labels, value in families["a"]] == [("n", 1), (None, 2)]


def test_labels_are_kept_from_page_to_page_and_forgotten_with_their_pod() -> None:
    parser = ExpositionParser()
    first = parser.parse(b'a{pod="x"} 1\n', "x")["a"][0][0]
    assert parser.parse(b'a{pod="x"} 2\nb{pod="x"} 2\n', "x")["b"][0][0] is first
    parser.parse(b'a{pod="y"} 1\n', "x")
    assert parser.parse(b'a{pod="x"} 2\n', "x")["a"][0][0] is not first


@pytest.mark.parametrize(
    "page", [b"<html><body>log in</body></html>", b'{"error": "x"}', b"\x00\x01\x02", b"404 page not found"]
)
def test_what_is_no_page_of_metrics_is_told(page: bytes) -> None:
    with pytest.raises(MalformedDataError, match="exporter of gpu-01"):
        ExpositionParser().parse(page, "exporter of gpu-01")


def test_an_empty_page_has_no_samples() -> None:
    assert ExpositionParser().parse(b"", "x") == {}
    assert ExpositionParser().parse(b"# HELP a b\n\n", "x") == {}


def test_a_page_that_is_too_large_is_refused() -> None:
    with pytest.raises(LimitExceededError):
        ExpositionParser().parse(b"#" * ((32 << 20) + 1), "x")


def test_totals_are_told_only_when_they_are_numbers() -> None:
    families = ExpositionParser().parse(b'a{l="1"} 1\na{l="2"} 2\nb NaN\nc +Inf\n', "x")
    assert total_of(families, "a") == 3
    assert total_of(families, "b") is None
    assert total_of(families, "c") is None
    assert total_of(families, "d") is None
    assert math.isnan(families["b"][0][1])
