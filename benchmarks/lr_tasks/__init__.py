"""Tasks of which a learning rate is to be chosen."""

from benchmarks.lr_tasks.base import LrTask
from benchmarks.lr_tasks.digits import variants
from benchmarks.lr_tasks.events import TASK as EVENTS
from benchmarks.lr_tasks.text import TASK as TEXT
from benchmarks.lr_tasks.two_losses import TASK as TWO_LOSSES
from benchmarks.lr_tasks.waves import TASK as WAVES

TASKS: tuple[LrTask, ...] = (*variants(), WAVES, TEXT, TWO_LOSSES, EVENTS)
