from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from preflight.advise.diagnosis import diagnose, explained_by
from preflight.core.finding import NOTE, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf301_unnormalized import RULE as PF301
from preflight.rules.pf303_identifier import RULE
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]
N = 1000


def split(numbers: Tensor) -> dict[str, Tensor]:
    x = torch.randn(N, 1, generator=torch.Generator().manual_seed(0))
    return {"x": torch.cat([x, numbers.float().view(-1, 1)], 1), "target": (x[:, 0] > 0).long()}


def numbers(low: int, high: int) -> Tensor:
    return torch.randint(low, high, (N,), generator=torch.Generator().manual_seed(1))


def named(name: str) -> dict[str, dict[str, list[str]]]:
    return {"x": {"features": ["value", name]}}


@pytest.mark.parametrize("high", [1100, 5160, 100_000])
def test_many_even_whole_numbers_look_like_an_identifier(high: int, data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(split(numbers(0, high))))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "x.x[1]")  # at that size it does harm, whatever it is
    assert "Embedding" in answer.remedies[0].text
    assert "only where its size is what counts" in answer.remedies[0].text
    assert answer.remedies[0].settings == {}


def test_what_looks_like_an_identifier_is_why_the_input_is_raw(data_seen: DataSeen) -> None:
    found = diagnose([data_seen(split(numbers(0, 5160)))], [PF301, RULE]).findings
    assert [item.rule.code for item in found] == ["PF303", "PF301"]
    assert explained_by([item.as_dict() for item in found], [PF301, RULE])["PF301"] == ["PF303"]


def test_where_its_size_does_no_harm_it_is_worth_a_note(data_seen: DataSeen) -> None:
    scaled = {"x": {"kind": "standardize", "center": [0.0, 2500.0], "scale": [1.0, 1500.0]}}
    answer = RULE.judge(data_seen(split(numbers(0, 5000)), normalization=scaled))
    assert isinstance(answer, Finding)
    assert answer.severity == NOTE


@pytest.mark.parametrize("name", ["sensor_id", "userId", "zip", "item_code", "idx"])
@pytest.mark.parametrize("high", [12, 300, 5000])
def test_a_name_makes_it_certain(name: str, high: int, data_seen: DataSeen) -> None:
    answer = RULE.judge(data_seen(split(numbers(0, high)), fields=named(name)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, f"x.{name}")


@pytest.mark.parametrize(
    ("low", "high", "advice"),
    [(0, 5000, "torch.nn.Embedding(5000, dim) on its whole numbers"), (100_000, 104_000, "number its values from 1")],
)
def test_a_table_has_no_rows_for_what_does_not_occur(low: int, high: int, advice: str, data_seen: DataSeen) -> None:
    values = torch.cat([numbers(low, high)[:-1], torch.tensor([high - 1])])
    answer = RULE.judge(data_seen(split(values), fields=named("user_id")))
    assert isinstance(answer, Finding)
    assert advice in answer.remedies[0].text


def test_scaling_it_does_not_mend_it(data_seen: DataSeen) -> None:
    scaled = {"x": {"kind": "standardize", "center": [0.0, 2500.0], "scale": [1.0, 1500.0]}}
    assert isinstance(RULE.judge(data_seen(split(numbers(0, 5000)), normalization=scaled)), Finding)


@pytest.mark.parametrize(
    "values",
    [
        numbers(0, 360),  # degrees
        numbers(1, 366),  # days
        numbers(0, 256),  # bytes
        numbers(2000, 5000),  # metres above the sea
        numbers(18, 90),
        torch.poisson(torch.full((N,), 500.0), generator=torch.Generator().manual_seed(0)),
        numbers(0, 5000) + 0.5,
    ],
)
def test_amounts_are_no_identifiers(values: Tensor, data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(split(values))) == Clean()


@pytest.mark.parametrize("name", ["width", "humid", "paid", "grid", "validity", "decode"])
def test_a_name_that_ends_alike_says_nothing(name: str, data_seen: DataSeen) -> None:
    assert RULE.judge(data_seen(split(numbers(0, 40)), fields=named(name))) == Clean()


@pytest.mark.parametrize("how", ["embedding", "one_hot"])
def test_an_identifier_that_the_model_embeds_is_left_alone(how: str, data_seen: DataSeen) -> None:
    class Embeds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.layer = nn.Embedding(5000, 4), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            code = x[:, 1].long()
            inner = self.table(code) if how == "embedding" else nn.functional.one_hot(code % 4, 4)
            return self.layer(torch.cat([x[:, :1], inner], 1))

    part = split(numbers(0, 5000))
    assert RULE.judge(data_seen(part, model=Embeds, fields=named("sensor_id"))) == Clean()
    assert isinstance(RULE.judge(data_seen(part, fields=named("sensor_id"))), Finding)


def test_integers_that_the_model_takes_for_numbers_are_found(data_seen: DataSeen) -> None:
    part = {"user_id": numbers(0, 3000), "target": torch.arange(N) % 2}
    assert isinstance(RULE.judge(data_seen(part)), Finding)

    class Embeds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(3000, 2)

        def forward(self, code: Tensor) -> Tensor:
            return self.table(code)

    assert RULE.judge(data_seen(part, model=Embeds)) == Clean()


def test_without_a_look_at_the_fields_there_is_nothing_to_judge(recorded: Callable[..., Recording]) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'fields'")
