pytest_plugins = [
    "tests.fixtures.registry",
    "tests.fixtures.base_image",
    "tests.fixtures.environment_image",
    "tests.fixtures.interruptible",
    "tests.fixtures.needs",
    "tests.fixtures.ordinary",
    "tests.fixtures.postgres",
    "tests.fixtures.pubsub",
]
