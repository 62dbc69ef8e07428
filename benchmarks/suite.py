"""All programs, as a literal list."""

from __future__ import annotations

from benchmarks.program import Program
from benchmarks.programs import (
    arcs,
    autoencoder,
    circuit,
    contrastive,
    curve,
    digits_cnn,
    digits_mlp,
    digits_mlp_data,
    digits_mlp_model,
    digits_mlp_training,
    distilled,
    grammar,
    moons,
    multitask,
    shapes,
    signals,
    small,
    table,
    triplets,
    vae,
    views,
    waves,
)

FAULTY: tuple[Program, ...] = (
    *digits_mlp_data.FAULTY,
    *digits_mlp_model.FAULTY,
    *digits_mlp_training.FAULTY,
    *digits_cnn.FAULTY,
    *signals.FAULTY,
    *grammar.FAULTY,
    *waves.FAULTY,
    *autoencoder.FAULTY,
    *vae.FAULTY,
    *multitask.FAULTY,
    *shapes.FAULTY,
    *distilled.FAULTY,
    *table.FAULTY,
    *small.FAULTY,
    *circuit.FAULTY,
    *curve.FAULTY,
    *moons.FAULTY,
    *contrastive.FAULTY,
    *views.FAULTY,
    *arcs.FAULTY,
    *triplets.FAULTY,
)
HEALTHY: tuple[Program, ...] = (
    *digits_mlp.HEALTHY,
    *digits_cnn.HEALTHY,
    *signals.HEALTHY,
    *grammar.HEALTHY,
    *waves.HEALTHY,
    *autoencoder.HEALTHY,
    *vae.HEALTHY,
    *multitask.HEALTHY,
    *shapes.HEALTHY,
    *distilled.HEALTHY,
    *table.HEALTHY,
    *small.HEALTHY,
    *circuit.HEALTHY,
    *curve.HEALTHY,
    *moons.HEALTHY,
    *contrastive.HEALTHY,
    *views.HEALTHY,
    *arcs.HEALTHY,
    *triplets.HEALTHY,
)
PROGRAMS = (*FAULTY, *HEALTHY)


def program(name: str) -> Program:
    """The program of a name; raises KeyError."""
    return {item.name: item for item in PROGRAMS}[name]
