"""Train a small neural network to read handwritten digits, with NumPy alone."""

import argparse
import csv
import json
import os
from pathlib import Path

import numpy as np

DATA = Path("data")
OUTPUTS = Path(os.environ.get("CYNTHUS_OUTPUT_DIR", "outputs"))


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels scaled to 0..1, shape (n, 64), and labels, shape (n,)."""
    rows = np.loadtxt(DATA / name, delimiter=",")
    return rows[:, :64] / 16.0, rows[:, 64].astype(int)


def forward(weights: dict[str, np.ndarray], pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    hidden = np.maximum(pixels @ weights["w1"] + weights["b1"], 0)
    scores = hidden @ weights["w2"] + weights["b2"]
    scores -= scores.max(axis=1, keepdims=True)
    exponents = np.exp(scores)
    return hidden, exponents / exponents.sum(axis=1, keepdims=True)


def step(weights: dict[str, np.ndarray], pixels: np.ndarray, labels: np.ndarray, rate: float) -> float:
    """One gradient step on a batch; returns its mean cross-entropy."""
    hidden, probabilities = forward(weights, pixels)
    count = len(labels)
    loss = -np.log(probabilities[np.arange(count), labels] + 1e-12).mean()
    error = probabilities
    error[np.arange(count), labels] -= 1
    error /= count
    back = (error @ weights["w2"].T) * (hidden > 0)
    gradients = {"w2": hidden.T @ error, "b2": error.sum(0), "w1": pixels.T @ back, "b1": back.sum(0)}
    for name, gradient in gradients.items():
        weights[name] -= rate * gradient
    return float(loss)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()

    train_pixels, train_labels = load("train.csv")
    test_pixels, test_labels = load("test.csv")
    print(f"{len(train_labels)} digits to learn from, {len(test_labels)} to be tested on", flush=True)

    random = np.random.default_rng(options.seed)
    weights = {
        "w1": random.normal(0, 0.2, (64, options.hidden)),
        "b1": np.zeros(options.hidden),
        "w2": random.normal(0, 0.2, (options.hidden, 10)),
        "b2": np.zeros(10),
    }
    history = []
    for epoch in range(1, options.epochs + 1):
        order = random.permutation(len(train_labels))
        batches = np.array_split(order, len(order) // 32)
        loss = float(
            np.mean([step(weights, train_pixels[b], train_labels[b], options.rate) for b in batches])
        )
        accuracy = float((forward(weights, test_pixels)[1].argmax(1) == test_labels).mean())
        history.append({"epoch": epoch, "loss": round(loss, 4), "accuracy": round(accuracy, 4)})
        print(f"epoch {epoch}/{options.epochs}  loss={loss:.3f}  accuracy={accuracy:.1%}", flush=True)

    OUTPUTS.mkdir(exist_ok=True)
    np.savez(OUTPUTS / "weights.npz", **weights)
    (OUTPUTS / "metrics.json").write_text(json.dumps(history, indent=1) + "\n")
    with (OUTPUTS / "predictions.csv").open("w", newline="") as file:
        predicted = forward(weights, test_pixels)[1].argmax(1)
        csv.writer(file).writerows([("label", "predicted"), *zip(test_labels, predicted, strict=True)])
    print(f"saved weights, metrics and predictions to {OUTPUTS.name}/")


if __name__ == "__main__":
    main()
