"""Every file and column of a recorded trial, with its unit and meaning.

The first four files are the interchange format that notebooks in the field read; their columns come in this order
and no others are added. A name in angle brackets stands for one column per component, group or loss.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of a telemetry file; ``dtype`` as pandas reads it."""

    name: str
    dtype: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """A telemetry file: one row per collection step, in the order of the steps."""

    file: str
    rows: str
    columns: tuple[Column, ...]


EPOCH = Column("epoch", "int64", "epochs", "pass over the training data, from 0")
STEP = Column("step", "int64", "steps", "optimizer step, from 0")

GRADIENT_NORMS = Table(
    "gradient_norms.csv",
    "every step",
    (
        EPOCH,
        Column("overall", "float64", "1", "L2 norm of the gradient of the weighted loss, before clipping"),
        Column("<component>", "float64", "1", "the same over the parameters of one component"),
    ),
)
WEIGHT_DELTAS = Table(
    "weight_deltas.csv",
    "every `deltas_every_steps` of trial.json",
    (
        EPOCH,
        Column("<component>_delta", "float64", "weight", "L2 norm of the weight change since the row before"),
    ),
)
LEARNING_RATES = Table(
    "learning_rates.csv",
    "every step",
    (EPOCH, Column("lr_group<n>", "float64", "1", "learning rate applied to one optimizer parameter group")),
)
HEAD_STATS = Table(
    "<head>_stats.csv",
    "every `deltas_every_steps` of trial.json",
    (
        EPOCH,
        Column("weight_mean", "float64", "weight", "mean of the head's weight matrix"),
        Column("weight_std", "float64", "weight", "standard deviation of the head's weight matrix"),
        Column("weight_norm_mean", "float64", "weight", "mean L2 norm of its rows, one row a class"),
        Column("weight_norm_std", "float64", "weight", "standard deviation of those norms"),
    ),
)
HEAD_GEOMETRY = Table(
    "<head>_geometry.csv",
    "every `deltas_every_steps` of trial.json",
    (
        EPOCH,
        Column("cosine_mean", "float64", "1", "mean cosine between two different rows of the head's weight matrix"),
        Column("cosine_max", "float64", "1", "largest of these cosines"),
        Column("effective_rank", "float64", "1", "exponential of the entropy of the unit rows' singular values"),
        Column("rank_limit", "float64", "1", "largest effective rank that there could be"),
        Column("rows", "float64", "1", "rows that were compared, spread evenly over all"),
    ),
)
LOSSES = Table(
    "losses.csv",
    "every step; validation columns where it was evaluated, else empty",
    (
        EPOCH,
        STEP,
        Column("total", "float64", "loss", "weighted sum that was trained on, mean over the batch"),
        Column("<loss>", "float64", "loss", "one loss, unweighted, mean over the batch"),
        Column("val_<loss>", "float64", "loss", "the same over the validation samples, weighted by samples"),
        Column("val_score", "float64", "1", "mean over the losses of value / best constant predictor"),
        Column("val_metric", "float64", "of the metric", "the task's metric over the validation samples"),
    ),
)
PARAMETERS = Table(
    "parameters.csv",
    "every parameter tensor",
    (
        Column("name", "str", "", "name in the model"),
        Column("component", "str", "", "component it is counted in"),
        Column("values", "int64", "1", "number of its values"),
        Column("max_gradient_norm", "float64", "1", "largest finite L2 norm of its gradient"),
        Column("max_step", "int64", "steps", "step of that norm"),
        Column(
            "first_nonfinite_step",
            "int64",
            "steps",
            "first step with a NaN or infinite gradient, -1 for none",
        ),
        Column("median_gradient_norm", "float64", "1", "median of the finite L2 norms of its gradient"),
        Column("last_gradient_step", "int64", "steps", "last step with a gradient other than zero, -1 for none"),
        Column("first_weight_norm", "float64", "weight", "L2 norm of its values before the first step"),
        Column("last_weight_norm", "float64", "weight", "the same at the last row of weight_deltas.csv"),
        Column("update_total", "float64", "weight", "sum of the L2 norms of its changes from row to row there"),
        Column(
            "median_update_ratio",
            "float64",
            "1",
            "median change from row to row there, over the larger of the norms before and after it",
        ),
    ),
)
TABLES = (GRADIENT_NORMS, WEIGHT_DELTAS, LEARNING_RATES, HEAD_STATS, HEAD_GEOMETRY, LOSSES, PARAMETERS)

# Columns that loggers add to a table of norms; no component of a model is called so.
ASIDE = frozenset(
    ("index", "unnamed: 0", "loss", "lr", "batch", "batch_idx", "seconds", "time", "elapsed", "wall_time", "timestamp")
)
