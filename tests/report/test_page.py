from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from preflight.core.errors import InputError
from preflight.core.params import Params
from preflight.report.drawing import COLORS
from preflight.report.page import write_report

NewRun = Callable[..., Any]
NOW = Params(lr=0.03, batch_size=32, normalization={"input": "none"}, loss_weights={"ce": 1.0})
VOID = {"meta", "br", "wbr", "path", "use"}


class Tags(HTMLParser):
    """Collects ids and references, and checks that elements nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: set[str] = set()
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            self.references.update(re.findall(r"url\(#([^)]*)\)|^#(.*)", str(value))[0] if "#" in str(value) else ())

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def html_of(writer: Any) -> str:
    path = write_report(writer.folder)
    assert path == writer.folder / "report.html"
    return path.read_text(encoding="utf-8")


def parsed(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    return tags


def test_a_changed_run_has_every_section_and_figure(changed: Any) -> None:
    html = html_of(changed)
    titles = re.findall(r"<h2>(.*?)</h2>", html)
    assert titles == ["Changes", "Diff", "Margins", "The long run", "Learning rates", "Trajectories",
                      "Explored trials", "Inspection", "How to read this"]  # fmt: skip
    assert html.count("<svg") == 4
    assert '<span class="add">+lr: 0.003 # &lt;b&gt;</span>' in html


def test_ids_are_unique_and_references_resolve(changed: Any) -> None:
    tags = parsed(html_of(changed))
    assert len(tags.ids) == len(set(tags.ids))
    assert {name for name in tags.references if name} <= set(tags.ids)


def test_the_page_needs_nothing_but_itself(changed: Any) -> None:
    html = html_of(changed)
    assert not re.search(r"https?:", html)
    assert not {"script", "link", "img", "iframe", "object"} & parsed(html).names
    assert "@import" not in html


def test_every_colour_of_a_figure_is_in_the_light_and_the_dark_style(new_run: NewRun) -> None:
    html = html_of(new_run())
    assert {role: html.count(f"--{role}: #") for role in COLORS} == dict.fromkeys(COLORS, 2)


def test_names_and_reasons_are_escaped(new_run: NewRun) -> None:
    name = "<script>alert(1)</script>"
    writer = new_run(model=name, components=(name, "_a$b_$", "$\\frac{1}{"), command=[f"+model={name}"])
    writer.explored()
    writer.trial("proof", 0, NOW, status="diverged", reason="<img src=x onerror=alert(1)>", steps_done=20)
    html = html_of(writer)
    assert not {"script", "img"} & parsed(html).names
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "head.w is &lt;not&gt; finite" in html
    assert "_a$b_$" in html


@pytest.mark.parametrize("status", ["interrupted", "running", "done"])
def test_a_run_with_nothing_in_it_has_a_page(new_run: NewRun, status: str) -> None:
    html = html_of(new_run(status=status))
    parsed(html)
    assert "<svg" not in html
    assert ('class="alert"' in html) == (status != "done")


def test_a_kept_run_has_a_page_without_changes(kept: Any) -> None:
    html = html_of(kept)
    parsed(html)
    assert "<h2>Changes</h2>" not in html
    assert "best candidate" in html


def test_trials_without_any_file_or_score_have_a_page(new_run: NewRun) -> None:
    writer = new_run(status="running", ladders={"inputs as they are": []})
    for index in range(3):
        writer.trial("explore", index, NOW, score=float("nan"), status="crashed", recorded=False)
    html = html_of(writer)
    parsed(html)
    assert "The trajectories of these runs are not recorded." in html
    assert "none of its runs was recorded" in html


def test_losses_below_zero_and_dead_gradients_are_drawn(new_run: NewRun) -> None:
    writer = new_run()
    for index, score in enumerate((-5.0, 0.0)):
        writer.trial("explore", index, NOW.with_values({"lr": 0.1 / (index + 1)}), score=score)
        writer.trial("proof", index, NOW.with_values({"lr": 0.03 - 0.02 * index}), score=score)
    parsed(html_of(writer))


def test_a_run_of_200_trials_stays_small(changed: Any) -> None:
    for index in range(5, 200):
        changed.trial("explore", index, NOW.with_values({"lr": 1e-4 * index}), score=index / 100, recorded=False)
    for index in range(6, 40):
        params = NOW if index % 2 else NOW.with_values({"lr": 0.003, "normalization.input": "standardize"})
        changed.trial("proof", index, params, seed=index, steps_done=2000, steps=2000)
    assert len(html_of(changed)) < 1_500_000


def test_the_same_run_gives_the_same_page(changed: Any) -> None:
    assert html_of(changed) == html_of(changed)


def test_the_users_matplotlib_is_left_as_it_was(changed: Any) -> None:
    before = dict(mpl.rcParams)
    html_of(changed)
    assert dict(mpl.rcParams) == before


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run directory"):
        write_report(tmp_path)


def test_reading_needs_neither_torch_nor_optuna_and_matplotlib_only_to_draw() -> None:
    code = (
        "import sys, preflight.report.page; "
        "print([name for name in ('torch', 'optuna', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
