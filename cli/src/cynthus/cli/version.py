"""One constant, so that `cynthus --version` costs no more than Python's own start."""

VERSION = "0.1.0"
