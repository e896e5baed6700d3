"""The words that names of runs are made of."""

import json
from importlib.resources import files

from cynthus.gateway.domain.names import Words


def read_words() -> Words:
    """The words in `data/words.json`."""
    content = json.loads(files("cynthus.gateway").joinpath("data/words.json").read_text())
    return Words(tuple(content["adjectives"]), tuple(content["animals"]))
