"""What is said of an import that fails in the image."""

import pytest

from cynthus.builder.domain.import_problems import explained

MISSING = ("ModuleNotFoundError", "ImportError", "Exception")


@pytest.mark.parametrize(
    ("missing", "fix"),
    [
        ("yaml", "Add PyYAML to the project's requirements."),
        ("google.cloud.storage", "Add google-cloud-storage to the project's requirements."),
        ("surely_unknown", "Add the package that brings surely_unknown to the project's requirements."),
        ("sklearn.externals", "pin one that has it"),
    ],
)
def test_a_missing_module_is_mended_by_its_package_and_a_missing_part_by_another_version(missing, fix):
    why, told = explained(MISSING, missing, [f"ModuleNotFoundError: No module named '{missing}'"])
    assert missing in why
    assert fix.lower() in told.lower()
