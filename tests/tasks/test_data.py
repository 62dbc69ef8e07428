from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from preflight.core.errors import TaskError
from preflight.tasks.data import Collated, Data, InMemory, Roles
from preflight.tasks.given import read_data

CPU = torch.device("cpu")
AUTO = Roles((), ())
ROWS = torch.tensor([3, 0])

X, Y = torch.arange(36.0).view(12, 3), torch.arange(12)
X_VALIDATION, Y_VALIDATION = -X[:5], Y[:5]


class Samples(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]


class Named(Samples):
    def __getitem__(self, index: int) -> Any:
        return {"input": self.x[index], "target": self.y[index]}


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(X)


def arrays(x: Tensor, y: Tensor) -> Any:
    return x.numpy(), y.numpy()


def mapping(x: Tensor, y: Tensor) -> Any:
    return {"input": x, "target": y}


def mapping_of_lists(x: Tensor, y: Tensor) -> Any:
    return {"input": x.tolist(), "target": y.numpy()}


def loader(x: Tensor, y: Tensor) -> Any:
    return DataLoader(Samples(x, y), batch_size=4)


def loader_of_mappings(x: Tensor, y: Tensor) -> Any:
    return DataLoader(Named(x, y), batch_size=4)


FORMS: list[Callable[[Tensor, Tensor], Any]] = [
    lambda x, y: (x, y),
    lambda x, y: [x, y],
    arrays,
    mapping,
    mapping_of_lists,
    TensorDataset,
    Samples,
    Named,
    loader,
    loader_of_mappings,
    lambda x, y: DataLoader(TensorDataset(x, y), batch_size=4),
]


@pytest.mark.parametrize("form", FORMS)
def test_every_usual_form_gives_the_same_samples(form: Callable[[Tensor, Tensor], Any]) -> None:
    data = read_data((form(X, Y), form(X_VALIDATION, Y_VALIDATION)), AUTO, CPU)

    assert (len(data.train), len(data.validation)) == (12, 5)
    assert data.roles == Roles(("input",), ("target",))
    for source, x, y in ((data.train, X, Y), (data.validation, X_VALIDATION, Y_VALIDATION)):
        batch = source.batch(ROWS)
        assert torch.equal(batch["input"].float(), x[ROWS])
        assert torch.equal(batch["target"], y[ROWS])


@pytest.mark.parametrize(
    "given",
    [
        {"train": (X, Y), "validation": (X_VALIDATION, Y_VALIDATION)},
        {"validation": (X_VALIDATION, Y_VALIDATION), "train": (X, Y)},
    ],
)
def test_train_and_validation_may_be_named_in_either_order(given: dict[str, Any]) -> None:
    data = read_data(given, AUTO, CPU)
    assert (len(data.train), len(data.validation)) == (12, 5)


def test_tensors_and_arrays_stay_in_memory_and_data_sets_are_collated_when_needed() -> None:
    tensors = read_data(((X, Y), arrays(X, Y)), AUTO, CPU)
    assert isinstance(tensors.train, InMemory) and isinstance(tensors.validation, InMemory)
    samples = read_data((Samples(X, Y), loader(X, Y)), AUTO, CPU)
    assert isinstance(samples.train, Collated) and isinstance(samples.validation, Collated)


def pad(samples: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    sequences = [sample[0] for sample in samples]
    padded = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    return {"sequence": padded, "length": torch.tensor([len(s) for s in sequences]), "label": samples[0][1].expand(2)}


def test_a_loaders_own_collate_function_makes_the_batches() -> None:
    class Ragged(Samples):
        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            return self.x[index, : 1 + index % 3], self.y[index]

    part = DataLoader(Ragged(X, Y), batch_size=2, collate_fn=pad)
    batch = read_data((part, part), AUTO, CPU).train.batch(torch.tensor([0, 4]))
    assert batch["sequence"].tolist() == [[0.0, 0.0], [12.0, 13.0]]
    assert batch["length"].tolist() == [1, 2]


def negated(samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return -torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])


def test_a_collate_function_over_a_tensor_data_set_is_used_too() -> None:
    part = DataLoader(TensorDataset(X, Y), batch_size=2, collate_fn=negated)
    batch = read_data((part, (X, Y)), AUTO, CPU).train.batch(ROWS)
    assert torch.equal(batch["input"], -X[ROWS])


def test_the_batch_size_is_that_of_the_training_loader() -> None:
    validation = DataLoader(TensorDataset(X, Y), batch_size=12)
    assert read_data((loader(X, Y), validation), AUTO, CPU).batch_size == 4
    assert read_data(((X, Y), validation), AUTO, CPU).batch_size is None
    assert read_data(((X, Y), (X, Y)), AUTO, CPU).batch_size is None


def test_a_loader_over_a_subset_gives_that_subset() -> None:
    part = DataLoader(TensorDataset(X, Y), batch_size=2, sampler=SubsetRandomSampler([7, 2, 9]))
    data = read_data((part, (X, Y)), AUTO, CPU)
    assert data.train.batch(torch.arange(3))["target"].tolist() == [7, 2, 9]
    assert len(data.train) == 3


def test_a_shuffling_loader_gives_its_samples_in_their_own_order() -> None:
    part = DataLoader(TensorDataset(X, Y), batch_size=2, shuffle=True)
    assert read_data((part, part), AUTO, CPU).train.batch(torch.arange(12))["target"].tolist() == Y.tolist()


def roles_of(names: tuple[str, ...], roles: Roles) -> Roles:
    part = dict.fromkeys(names, X)
    return read_data((part, part), roles, CPU).roles


@pytest.mark.parametrize(
    ("names", "given", "settled"),
    [
        (("a", "b", "label"), AUTO, Roles(("a", "b"), ("label",))),
        (("a", "y"), AUTO, Roles(("a",), ("y",))),
        (("a", "b", "c"), Roles((), ("b",)), Roles(("a", "c"), ("b",))),
        (("a", "b", "target"), Roles(("b",), ()), Roles(("b",), ("target",))),
        (("a", "b", "c"), Roles(("c", "a"), ("b",)), Roles(("c", "a"), ("b",))),
        (("a", "b"), Roles(("a",), ("a", "b")), Roles(("a",), ("a", "b"))),
    ],
)
def test_roles_that_are_left_out_follow_from_the_names(names: tuple[str, ...], given: Roles, settled: Roles) -> None:
    assert roles_of(names, given) == settled


def test_fields_of_a_tuple_are_named_by_their_roles() -> None:
    part = (X, X + 1, Y)
    data = read_data((part, part), Roles(("left", "right"), ("label",)), CPU)
    assert list(data.train.batch(ROWS)) == ["left", "right", "label"]


def test_numeric_inputs_are_floats_and_bytes() -> None:
    part = {"x": X, "image": X.byte(), "tokens": X.long(), "mask": X > 0, "target": X}
    assert read_data((part, part), AUTO, CPU).numeric_inputs() == ("x", "image")


class Broken(Samples):
    def __getitem__(self, index: int) -> Any:
        raise FileNotFoundError(f"no image {index}")


class Triples(Samples):
    def __getitem__(self, index: int) -> Any:
        return self.x[index], self.x[index], self.y[index]


class Text(Samples):
    def __getitem__(self, index: int) -> Any:
        return "text", self.y[index]


def weighted(x: Tensor, y: Tensor) -> Any:
    return DataLoader(TensorDataset(x, y), sampler=WeightedRandomSampler([1.0] * len(x), len(x)))


GOOD = (X, Y)


@pytest.mark.parametrize(
    ("given", "roles", "text"),
    [
        (GOOD, AUTO, r"the train data must be tensors.* map-style Dataset or its DataLoader"),
        (X, AUTO, r"model\.data must give \(train, validation\), got Tensor of 12"),
        ((GOOD,), AUTO, r"model\.data must give \(train, validation\), got tuple of 1"),
        ({"train": GOOD, "test": GOOD}, AUTO, r"model\.data must give \(train, validation\), got dict of 2"),
        (None, AUTO, r"model\.data must give \(train, validation\), got NoneType"),
        ((iter([1]), GOOD), AUTO, r"the train data must be tensors, .* got list_iterator"),
        ((GOOD, Stream()), AUTO, r"the validation data must be tensors, .* got Stream"),
        ((GOOD, DataLoader(Stream())), AUTO, r"the validation data must be tensors, .* got Stream"),
        ((GOOD, (X[:0], Y[:0])), AUTO, r"the validation data is empty"),
        ((Samples(X[:0], Y[:0]), GOOD), AUTO, r"the train data is empty"),
        (({}, GOOD), AUTO, r"the train data is empty: it has no fields"),
        (((X, Y[:7]), GOOD), AUTO, r"train data have different lengths: \{'input': 12, 'target': 7\}"),
        ((GOOD, {"input": X, "target": Y[:7]}), AUTO, r"validation data have different lengths"),
        (((X, Y, Y), GOOD), AUTO, r"train data has 3 fields and 2 names \(input, target\); name them all"),
        (((X,), (X,)), AUTO, r"train data has 1 fields and 2 names \(input, target\)"),
        ((weighted(X, Y), GOOD), AUTO, r"the train loader draws its samples by a WeightedRandomSampler"),
        (({"input": X, "target": ["a"] * 12}, GOOD), AUTO, r"field 'target' of the train data is not a tensor"),
        (
            ({"input": np.array([[1, "a"]] * 12, dtype=object), "target": np.zeros(12)}, GOOD),
            AUTO,
            r"field 'input' of the train data has dtype object, where numbers or booleans are needed: encode texts",
        ),
        (
            ({"input": X, "target": np.array(["a"] * 12)}, GOOD),
            AUTO,
            r"'target' of the train data has dtype <U1",
        ),
        ((GOOD, "ab"), AUTO, r"the validation data must be tensors, .* got str of 2"),
        (({"a": X, "b": Y},) * 2, Roles(("c",), ("b",)), r"no field 'c'; known: a, b"),
        (({"images": X, "target": Y},) * 2, Roles(("image",), ()), r"'image'; did you mean 'images'\?"),
        (({"a": X, "b": Y},) * 2, AUTO, r"which of the fields a, b is the target\? Name it in model\.targets"),
        (({"a": X, "y": Y}, {"b": X, "y": Y}), AUTO, r"the validation data has no field 'a'; known: b, y"),
        (({"a": X, "y": Y}, {"a": X, "b": Y}), AUTO, r"the validation data has no field 'y'; .*known: a, b"),
        ((Broken(X, Y), GOOD), AUTO, r"a sample of the train data cannot be read: FileNotFoundError: no image 0"),
        ((GOOD, Broken(X, Y)), AUTO, r"a sample of the validation data cannot be read: FileNotFoundError"),
        ((Triples(X, Y), GOOD), AUTO, r"a sample has 3 fields and 2 names \(input, target\); name them all"),
        ((Text(X, Y), GOOD), AUTO, r"a sample of the train data cannot be read: "),
    ],
)
def test_what_is_no_data_is_refused_by_name(given: Any, roles: Roles, text: str) -> None:
    with pytest.raises(TaskError, match=text) as error:
        read_data(given, roles, CPU)
    assert "\n" not in str(error.value)


def test_arrays_are_not_changed_by_reading_them() -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.arange(3)
    data: Data = read_data(((x, y), (x, y)), AUTO, CPU)
    batch = data.train.batch(torch.arange(3))
    batch["input"] += 1
    assert x.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]


def test_a_field_without_rows_is_refused() -> None:
    one = {"input": torch.tensor(3.0), "target": torch.tensor(1.0)}
    with pytest.raises(TaskError, match="field 'input' of the train data is a single number, and no row for each"):
        read_data((one, one), AUTO, CPU)
