pytest_plugins = [
    "tests.fixtures.needs",
    "tests.fixtures.ordinary",
    "tests.fixtures.postgres",
    "tests.fixtures.pubsub",
]
