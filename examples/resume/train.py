"""Trains a small model, one epoch after another, and goes on where the last attempt was."""

import json
import math
import os
import random
from pathlib import Path

EPOCHS = int(os.environ.get("EPOCHS", "100"))
SAMPLES = int(os.environ.get("SAMPLES", "1000000"))
RATE = 0.05

checkpoint = Path(os.environ.get("CYNTHUS_CHECKPOINT_DIR", "checkpoint")) / "state.json"
outputs = Path(os.environ.get("CYNTHUS_OUTPUT_DIR", "outputs"))


def load() -> dict:
    """Where we are: what the last attempt saved, or the very beginning."""
    if checkpoint.exists():
        return json.loads(checkpoint.read_text())
    return {"epoch": 0, "weights": [0.0, 0.0, 0.0]}


def save(state: dict) -> None:
    """Written beside, then renamed: nobody ever sees half of it."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    fresh = checkpoint.with_suffix(".fresh")
    fresh.write_text(json.dumps(state))
    fresh.replace(checkpoint)


def train(weights: list[float], epoch: int) -> float:
    """One epoch of logistic regression: which points lie above a line? Gives the mean loss.

    Each epoch draws numbers of its own, so that the end is the same however often we stop.
    """
    numbers = random.Random(epoch)  # noqa: S311 - a sample, not a secret
    total = 0.0
    for _ in range(SAMPLES):
        x, y = numbers.uniform(-1, 1), numbers.uniform(-1, 1)
        truth = 1.0 if y > 0.5 * x + 0.2 else 0.0
        guess = 1 / (1 + math.exp(-(weights[0] + weights[1] * x + weights[2] * y)))
        total -= math.log(max(guess if truth else 1 - guess, 1e-12))
        for number, value in enumerate((1.0, x, y)):
            weights[number] += RATE * (truth - guess) * value
    return total / SAMPLES


state = load()
print(f"beginning after epoch {state['epoch']} of {EPOCHS}", flush=True)
while state["epoch"] < EPOCHS:
    loss = train(state["weights"], state["epoch"])
    state["epoch"] += 1
    save(state)
    print(f"epoch {state['epoch']}: loss {loss:.4f}", flush=True)

outputs.mkdir(exist_ok=True)
(outputs / "model.json").write_text(json.dumps(state["weights"]))
