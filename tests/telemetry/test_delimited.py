from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from preflight.core.errors import InputError
from preflight.telemetry import delimited, text_lines
from preflight.telemetry.delimited import Delimited, Reading, read_delimited

Read = Callable[..., Delimited]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a file of these bytes or this text."""

    def run(content: str | bytes, *texts: str) -> Delimited:
        path = tmp_path / "norms.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_delimited(path, texts)

    return run


def frame(read: Delimited) -> pd.DataFrame:
    assert read.frame is not None
    return read.frame


@pytest.mark.parametrize(
    "content",
    [
        "epoch,overall\n0,1.5\n1,-2\n",
        "epoch;overall\n0;1,5\n1;-2\n",
        "epoch\toverall\r\n0\t1.5\r\n1\t-2",
        "\ufeffepoch , overall\n\n0, 1.5 \n1, -2.0e0\n\n",
        "# made by train.py\nepoch,overall\n0,1.5\n1,-2\n",
        "epoch,overall\r0,1.5\r1,-2\r",
        'epoch,"overall"\n"0","1.5"\n1,-2\n',
        "epoch,overall,\n0,1.5,\n1,-2,\n",
        "epoch,overall\n0,tensor(1.5)\n1,[-2]\n",
        "epoch,overall\n0,1.5\nepoch,overall\n1,-2\n",
        "epoch,overall\n0,1.5\n1,-2\n".encode("utf-16"),
    ],
)
def test_the_same_table_is_read_from_every_spelling(read: Read, content: str | bytes) -> None:
    found = read(content)
    assert found.problems == []
    assert frame(found).to_dict("list") == {"epoch": [0, 1], "overall": [1.5, -2]}


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("nan", math.nan), ("NaN", math.nan), ("", math.nan), ("NA", math.nan), ("null", math.nan), ("-", math.nan),
        ("1.#QNAN", math.nan), ("-1.#IND", math.nan), ("inf", math.inf), ("-Infinity", -math.inf), ("+Inf", math.inf),
        ("1.#INF", math.inf), ("tensor(nan, device='cuda:0')", None), ("50%", 50.0), ("1e400", math.inf),
    ],
)  # fmt: skip
def test_what_is_not_finite_has_many_spellings(read: Read, cell: str, value: float | None) -> None:
    found = read(f"a;b\n{cell};1\n2;1\n3;1\n")
    expected = math.nan if value is None else value
    np.testing.assert_equal(frame(found)["a"].to_numpy(), [expected, 2, 3])


def test_a_line_of_tabs_is_a_row_of_empty_cells_and_a_blank_line_is_none(read: Read) -> None:
    found = read("a\tb\tc\n1\t2\t3\n\t\t\n\n  \n \t\n4\t5\t6\n")
    assert found.problems == []
    np.testing.assert_array_equal(frame(found).to_numpy(), [[1, 2, 3], [math.nan] * 3, [4, 5, 6]])


def test_a_row_that_is_cut_off_is_named_with_its_line_and_the_rest_is_read(read: Read) -> None:
    found = read("a,b,c\n1,2,3\n4,5\n6,7,8\n9,1")
    assert frame(found)["a"].tolist() == [1, 6]
    assert [str(problem) for problem in found.problems] == [
        "norms.csv, line 3: 2 cells where the header has 3; left out",
        "norms.csv, line 5: 2 cells where the header has 3; left out",
    ]


def test_a_cell_that_is_no_number_takes_its_row_with_it(read: Read) -> None:
    found = read("a,b\n1,2\n3,oops\n5,6\n")
    assert frame(found).to_numpy().tolist() == [[1, 2], [5, 6]]
    assert [str(problem) for problem in found.problems] == ["norms.csv, line 3: b='oops' is no number; row left out"]


def test_a_column_of_words_is_left_out_and_costs_no_row(read: Read) -> None:
    found = read("a,when,b\n1,2026-01-01 10:00,2\n3,2026-01-01 10:01,4\n")
    assert frame(found).to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    assert [str(problem) for problem in found.problems] == ["norms.csv: column 'when' holds no numbers; left out"]


def test_named_columns_stay_text(read: Read) -> None:
    found = read('name,values\n0,3\n"body, left",4\n', "name")
    assert frame(found)["name"].tolist() == ["0", "body, left"]


def test_of_a_column_that_comes_twice_the_first_is_read(read: Read) -> None:
    found = read("a,b,a\n1,2,3\n")
    assert frame(found).to_dict("list") == {"a": [1], "b": [2]}
    assert [str(problem) for problem in found.problems] == [
        "norms.csv, line 1: the header names 'a' twice; the first one is read"
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("1,2\n3,4\n", "has no header"),
        ("a,b\n", "has no rows"),
        ("a,b\n1\n", "has no rows"),
        (b"\x00\xff\x80\x00" * 50, "has no rows"),
    ],
)
def test_a_file_without_a_table_is_said_to_have_none(read: Read, content: str | bytes, problem: str) -> None:
    found = read(content)
    assert found.frame is None
    assert problem in str(found.problems[-1])


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_delimited(tmp_path / "nothing.csv")


def test_problems_beyond_the_first_are_counted(read: Read) -> None:
    found = read("a,b\n" + "1\n" * 100 + "1,2\n")
    assert len(found.problems) == text_lines.MAX_PROBLEMS + 1
    assert str(found.problems[-1]) == f"norms.csv: and {100 - text_lines.MAX_PROBLEMS} more problems like these"


@pytest.mark.parametrize("rows", [99, 100, 1000, 12345])
def test_a_huge_file_is_thinned_evenly(read: Read, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "MAX_ROWS", 100)
    found = read("a,b\n" + "".join(f"{row},{'oops' if row == 64 else 1}\n" for row in range(rows)))
    values = frame(found)["a"].to_numpy()
    assert len(values) < 100
    strides = set(np.diff(values)) - {0}
    assert values[0] == 0
    assert max(strides) <= 2 * min(strides)  # 64 is left out
    assert values[-1] > rows - 1 - 2 * min(strides)
    assert (rows >= 100) == ("every" in str(found.problems[-1]))


def test_a_line_without_an_end_is_left_out(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lines, "MAX_LINE_CHARACTERS", 100)
    found = read("a,b\n1,2\n" + "7" * 350 + "\n3,4\n")
    assert frame(found)["a"].tolist() == [1, 3]
    assert [problem.line for problem in found.problems] == [3]


cells = st.floats(allow_nan=True, allow_infinity=True, width=32)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the file is written anew
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=20), st.sampled_from([",", ";", "\t", "|"]))
@example([(math.nan, math.nan)], "\t")
def test_what_pandas_writes_is_read_again(read: Read, rows: list[tuple[float, float]], separator: str) -> None:
    written = pd.DataFrame(rows, columns=["epoch", "overall"], dtype=np.float64)
    found = read(written.to_csv(index=False, sep=separator))
    assert found.problems == []
    np.testing.assert_array_equal(frame(found).to_numpy(), written.to_numpy())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_it_fail(read: Read, content: bytes) -> None:
    found = read(content)
    assert found.frame is not None or found.problems


def of_telemetry(folder: Path, content: str | bytes, *texts: str) -> Delimited:
    path = folder / "norms.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    reading = Reading(lambda name: not name.startswith("val"), lambda name: name == "norm", may_be_cut_off=True)
    return read_delimited(path, texts, reading)


@pytest.mark.parametrize("cell", ["nan", "NaN", "1.#QNAN", "tensor(nan)", "inf"])
def test_of_telemetry_what_is_not_finite_is_told_from_what_is_empty(tmp_path: Path, cell: str) -> None:
    found = frame(of_telemetry(tmp_path, f"a,b,val_loss\n{cell},1,nan\n,1,nan\nNA,1,2\n"))
    np.testing.assert_equal(found["a"].to_numpy(), [math.inf, math.nan, math.nan])
    np.testing.assert_equal(found["val_loss"].to_numpy(), [math.nan, math.nan, 2])


def test_of_telemetry_a_last_number_without_a_line_end_is_left_out(tmp_path: Path) -> None:
    found = of_telemetry(tmp_path, "a,b\n1,200\n3,40")
    np.testing.assert_equal(frame(found).to_numpy(), [[1, 200], [3, math.nan]])
    assert [str(problem) for problem in found.problems] == [
        "norms.csv, line 3: b=40 ends the file within its line and may be cut off; left out"
    ]


@pytest.mark.parametrize(
    "content",
    ["a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4\r", "a,b\n1,2\n3,4\n".encode("utf-16"),
     "\ufeffa,b\n1,2\n3,4\n".encode("utf-16-be")],
)  # fmt: skip
def test_of_telemetry_a_whole_file_is_read_whole(tmp_path: Path, content: str | bytes) -> None:
    found = of_telemetry(tmp_path, content)
    assert found.problems == []
    assert frame(found).to_numpy().tolist() == [[1, 2], [3, 4]]


def test_of_telemetry_a_row_that_is_cut_off_is_named_once(tmp_path: Path) -> None:
    found = of_telemetry(tmp_path, "a,b\n1,2\n3")
    assert [str(problem) for problem in found.problems] == [
        "norms.csv, line 3: 1 cells where the header has 2; left out"
    ]
    assert of_telemetry(tmp_path, "a,name\n1,x\n2,y", "name").problems == []


def test_of_telemetry_a_negative_norm_is_named_with_its_line_and_left_out(tmp_path: Path) -> None:
    found = of_telemetry(tmp_path, "a,norm\n-1,2\n-3,-4\n-5,-inf\n")
    np.testing.assert_equal(frame(found).to_numpy(), [[-1, 2], [-3, math.nan], [-5, -math.inf]])
    assert [str(problem) for problem in found.problems] == [
        "norms.csv, line 3: norm=-4 is negative, which no norm is; left out"
    ]


def test_rows_keep_their_places_in_the_file(read: Read) -> None:
    found = read("a,b\n1,2\n3\n5,oops\n7,8\n\n9,10\n")
    assert frame(found)["a"].tolist() == [1, 7, 9]
    assert frame(found).index.tolist() == [0, 3, 4]


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("a;b\n1;1.137,77\n2;968,2\n3;1.163\n", [1137.77, 968.2, 1163]),
        ("a;b\n1;1137.77\n2;968.2\n3;1,163\n", [1137.77, 968.2, 1163]),
        ('a,b\n1,"0,5"\n2,"1,163"\n3,2\n', [0.5, 1.163, 2]),
        ("a\tb\n1\t1,137.77\n2\t968\n", [1137.77, 968]),
    ],
)
def test_a_decimal_comma_is_told_from_one_between_thousands(read: Read, content: str, values: list[float]) -> None:
    found = read(content)
    assert found.problems == []
    assert frame(found)["b"].tolist() == values


def test_what_a_comma_is_may_be_open(read: Read) -> None:
    found = read("a;b\n1;1,137\n2;1,163\n")
    assert frame(found)["b"].tolist() == [1.137, 1.163]
    assert "may stand between thousands" in str(found.problems[0])
    both = read("a;b\n1;0,5\n2;0.5\n3;1,163\n4;2\n")
    assert frame(both)["b"].tolist() == [0.5, 0.5, 2]
    assert [str(problem) for problem in both.problems] == ["norms.csv, line 4: b='1,163' is no number; row left out"]
